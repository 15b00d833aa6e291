/**
 * The modules of a numbered list in a checkpoint.
 * @param count how many
 * @param make builds the one with number i
 */
export function counted<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}
