/** Of what this library is built; written by scripts/built-from.mjs. */

/** The library's version. */
export const LIBRARY_VERSION = '0.4.0';

/** SHA-256 of all texts of kernels, in hexadecimal digits. */
export const KERNELS_HASH = '91ca4c4d1a1bc754c98ec895a6383b8a03683a1cf3116aaee49d9592b119f4ca';
