"""The kernels: bare floats and arrays, compiled by numba. They know no units, files or patients' names."""
