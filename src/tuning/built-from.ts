/** Of what this library is built; written by scripts/built-from.mjs. */

/** The library's version. */
export const LIBRARY_VERSION = '0.4.0';

/** SHA-256 of all texts of kernels, in hexadecimal digits. */
export const KERNELS_HASH = '716a9ea8440b52a4b4a8812d46f1fe13acf5d7a4f4d7802f2a9b7fdefe8b0db6';
