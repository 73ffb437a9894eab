/* The AVX-512 intrinsics of the C limits (limit_w1.c, limit_w2.c, limit_w3.c), for a machine that has none.

   Found in the place of the compiler's own <immintrin.h> where this folder is given with -I. A vector of eight doubles
   is one of the generic vectors of GCC and clang, which the compiler splits into registers that the machine has: with
   AVX, two halves of 256 bits. The results are those of the intrinsics. The times are not those of C written for AVX2: the
   programs fill 32 registers of 512 bits, AVX2 has 16 of 256, and what is over goes through memory. GCC (12) keeps all
   such vectors in memory, which is four times slower still; clang (14) only what is over. */
#ifndef PKMODEL_HALVES_H
#define PKMODEL_HALVES_H

#include <math.h>

typedef double __m512d __attribute__((vector_size(64), may_alias));
typedef long long __m512i __attribute__((vector_size(64), may_alias));
typedef double pk_anywhere __attribute__((vector_size(64), may_alias, aligned(8)));

#define PK_INLINE static inline __attribute__((always_inline))

PK_INLINE __m512d _mm512_load_pd(const void *p) { return *(const __m512d *)p; }
PK_INLINE __m512d _mm512_loadu_pd(const void *p) { return *(const pk_anywhere *)p; }
PK_INLINE void _mm512_storeu_pd(void *p, __m512d x) { *(pk_anywhere *)p = x; }
PK_INLINE __m512d _mm512_setzero_pd(void) { return (__m512d){0}; }
PK_INLINE __m512d _mm512_set1_pd(double x) { return (__m512d){x, x, x, x, x, x, x, x}; }
PK_INLINE __m512i _mm512_setr_epi64(long long a, long long b, long long c, long long d, long long e, long long f,
                                    long long g, long long h) {
  return (__m512i){a, b, c, d, e, f, g, h};
}

/* A mask is a vector of truth values, all bits of a lane alike; the one comparison is "greater". */
#define _CMP_GT_OQ 30
#define _mm512_cmp_pd_mask(a, b, kind) ((__m512i)((a) > (b)))
PK_INLINE __m512d pk_choose(__m512i mask, __m512d yes, __m512d no) {
  return (__m512d)((mask & (__m512i)yes) | (~mask & (__m512i)no));
}
PK_INLINE __m512d _mm512_mask_add_pd(__m512d other, __m512i mask, __m512d a, __m512d b) {
  return pk_choose(mask, a + b, other);
}
PK_INLINE __m512d _mm512_abs_pd(__m512d x) {
  const long long all = 0x7fffffffffffffffLL;
  return (__m512d)((__m512i)x & _mm512_setr_epi64(all, all, all, all, all, all, all, all));
}
PK_INLINE double _mm512_reduce_max_pd(__m512d x) {
  double most = x[0];
  for (int k = 1; k < 8; k++) most = x[k] > most ? x[k] : most;
  return most;
}

PK_INLINE __m512d _mm512_unpacklo_pd(__m512d a, __m512d b) {
  return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
}
PK_INLINE __m512d _mm512_unpackhi_pd(__m512d a, __m512d b) {
  return __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
}
/* Four pairs of doubles, two of each operand, as the four digits (to base 4) of `which` name them. */
#define PK_PAIR(which, k) (2 * ((which) >> 2 * (k)&3) + ((k) > 1 ? 8 : 0))
#define PK_BOTH(which, k) PK_PAIR(which, k), PK_PAIR(which, k) + 1
#define _mm512_shuffle_f64x2(a, b, which) \
  __builtin_shufflevector(a, b, PK_BOTH(which, 0), PK_BOTH(which, 1), PK_BOTH(which, 2), PK_BOTH(which, 3))

#ifdef __clang__
PK_INLINE __m512d _mm512_max_pd(__m512d a, __m512d b) { return __builtin_elementwise_max(a, b); }
PK_INLINE __m512d _mm512_permutex2var_pd(__m512d a, __m512i which, __m512d b) {
  __m512d out;
  for (int k = 0; k < 8; k++) out[k] = which[k] < 8 ? a[which[k] & 7] : b[which[k] & 7];
  return out;
}
PK_INLINE void _mm512_stream_pd(void *p, __m512d x) { __builtin_nontemporal_store(x, (__m512d *)p); }

/* clang (14) knows exp and cos of libmvec but not acos, and one scalar call keeps the whole loop over patients scalar.
   This is the rational function of fdlibm, without branches. */
PK_INLINE double pk_acos(double x) {
  const double size = __builtin_fabs(x);
  const int small = size < 0.5;
  const double z = small ? x * x : 0.5 * (1.0 - size), y = small ? size : __builtin_sqrt(z);
  double p = 7.91534994289814532176e-04 + z * 3.47933107596021167570e-05;
  p = 2.01212532134862925881e-01 + z * (-4.00555345006794114027e-02 + z * p);
  p = 1.66666666666666657415e-01 + z * (-3.25565818622400915405e-01 + z * p);
  double q = -6.88283971605453293030e-01 + z * 7.70381505559019352791e-02;
  q = 1.0 + z * (-2.40339491173441421878e+00 + z * (2.02094576023350569471e+00 + z * q));
  const double arcsine = y + y * z * p / q;
  const double angle = small ? 1.57079632679489661923 - arcsine : 2.0 * arcsine;
  return x < 0.0 ? 3.14159265358979323846 - angle : angle;
}
#define acos pk_acos
#else
PK_INLINE __m512d _mm512_max_pd(__m512d a, __m512d b) { return pk_choose((__m512i)(a > b), a, b); }
PK_INLINE __m512d _mm512_permutex2var_pd(__m512d a, __m512i which, __m512d b) { return __builtin_shuffle(a, b, which); }
PK_INLINE void _mm512_stream_pd(void *p, __m512d x) { *(__m512d *)p = x; }
#endif

#endif
