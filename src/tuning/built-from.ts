/** Of what this library is built; written by scripts/built-from.mjs. */

/** The library's version. */
export const LIBRARY_VERSION = '0.4.0';

/** SHA-256 of all texts of kernels, in hexadecimal digits. */
export const KERNELS_HASH = '934b4e9b9f25a812e83b5347c81ef04a0e7c9e3705c39264fd0f356303f559b0';
