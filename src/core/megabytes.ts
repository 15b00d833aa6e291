/** Sizes as people read them. */

/** Whole megabytes, of 10^6 bytes. */
export function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}

/** The same with their unit. */
export function inMB(bytes: number): string {
  return `${megabytes(bytes)} MB`;
}
