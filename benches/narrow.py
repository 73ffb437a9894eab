"""The shared C programs for machines without AVX-512: the same code on the four lanes of AVX2.

They are written for registers of eight numbers. Here each step of eight becomes one of four, as the author would have
written it for the narrower machine: the same formulas, loops and compiler flags. What is replaced is spelled out below,
and a program in which something of it is missing is refused.
"""

from __future__ import annotations

import re

_TRANSPOSE = """static inline void tr4(const double*s,double*o,size_t ld){
  __m256d r0=_mm256_load_pd(s),r1=_mm256_load_pd(s+4),r2=_mm256_load_pd(s+8),r3=_mm256_load_pd(s+12);
  __m256d a0=_mm256_unpacklo_pd(r0,r1),a1=_mm256_unpackhi_pd(r0,r1);
  __m256d a2=_mm256_unpacklo_pd(r2,r3),a3=_mm256_unpackhi_pd(r2,r3);
  _mm256_storeu_pd(o,_mm256_permute2f128_pd(a0,a2,0x20));_mm256_storeu_pd(o+ld,_mm256_permute2f128_pd(a1,a3,0x20));
  _mm256_storeu_pd(o+2*ld,_mm256_permute2f128_pd(a0,a2,0x31));
  _mm256_storeu_pd(o+3*ld,_mm256_permute2f128_pd(a1,a3,0x31)); }
"""
_COUNT = ("_mm256_mask_add_pd({0},_mm256_cmp_pd_mask({1},th,_CMP_GT_OQ),{0},one)",)
_COUNT += ("_mm256_add_pd({0},_mm256_and_pd(one,_mm256_cmp_pd({1},th,_CMP_GT_OQ)))",)
_ABS = ("(v8)_mm256_abs_pd((__m256d){0}[i])", "(v8)_mm256_andnot_pd(_mm256_set1_pd(-0.0),(__m256d){0}[i])")
#: What is replaced in each program after the names of the vectors: what stands there, and what is put there.
_EDITS: dict[str, list[tuple[str, str]]] = {
    "limit_w1": [
        (_COUNT[0].format("ta", "ca"), _COUNT[1].format("ta", "ca")),
        (_COUNT[0].format("tb", "cb"), _COUNT[1].format("tb", "cb")),
        ("k+=16", "k+=8"),
        ("v+=16", "v+=8"),
        ("[k+8]", "[k+4]"),
        ("o+8,", "o+4,"),
        ("(v8*)(o+8)", "(v8*)(o+4)"),
        ("o+n+8", "o+n+4"),
        ("(size_t)n+8", "(size_t)n+4"),
        ("k<m;k+=8){ v8 z={0},y0", "k<m;k+=4){ v8 z={0},y0"),
        ("o+=8; if(t==20)", "o+=4; if(t==20)"),
        ("for(;t+8<=NT;t+=8) tr8(buf+8*t,dst+t,NT,0);", "for(;t+4<=NT;t+=4) tr4(buf+4*t,dst+t,NT);"),
        ("q<8;q++) dst[(size_t)q*NT+t]=buf[8*t+q]", "q<4;q++) dst[(size_t)q*NT+t]=buf[4*t+q]"),
    ],
    "limit_w2": [
        ("k<m;k+=8", "k<m;k+=4"),
        ("op+=8; om+=8", "op+=4; om+=4"),
        ("t+=8){ tr8(bp+8*t,o+t,2*NT); tr8(bm+8*t,", "t+=4){ tr4(bp+4*t,o+t,2*NT); tr4(bm+4*t,"),
    ],
    "limit_w3": [
        ("return _mm256_reduce_max_pd((__m256d)x);", "double m=x[0];for(int i=1;i<4;i++)m=x[i]>m?x[i]:m;return m;"),
        (_ABS[0].format("y"), _ABS[1].format("y")),
        (_ABS[0].format("u"), _ABS[1].format("u")),
        ("i0<n;i0+=8", "i0<n;i0+=4"),
        ("l<8;l++", "l<4;l++"),
    ],
}


def narrowed(program: str, source: str) -> str:
    """The source of a shared C program with four lanes for eight. Raises ValueError where it is not the one known."""
    if "tr8" in source:
        source, found = re.subn(r"static inline\s+void tr8.*?(?=static void sim)", _TRANSPOSE, source, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"{program}: no transpose of eight by eight")
    source = source.replace("vector_size(64)", "vector_size(32)").replace("__m512d", "__m256d")
    source = source.replace("_mm512_", "_mm256_")
    for old, new in _EDITS[program]:
        if old not in source:
            raise ValueError(f"{program}: no {old!r}")
        source = source.replace(old, new)
    return source
