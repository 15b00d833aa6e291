/** Sheets to look at: pictures of many cases on one. */
import type { RgbImage } from '../../src/io/image.ts';
import { sideBySide } from '../../src/io/mask.ts';
import type { Scene } from './scenes.ts';

/** Pixels between the pictures of a sheet. */
export const GAP = 2;

/** Cases of a sheet, a row each: below each other, in three columns where there are many. @throws TypeError for none */
export function inColumns(rows: readonly RgbImage[]): RgbImage {
  const [first] = rows as readonly [RgbImage];
  const each = rows.length > 8 ? Math.ceil(rows.length / 3) : rows.length;
  const blank = { ...first, data: new Uint8Array(first.data.length).fill(255) };
  const columns = Array.from({ length: Math.ceil(rows.length / each) }, (_, i) => {
    const own = rows.slice(i * each, (i + 1) * each);
    return stacked([...own, ...new Array<RgbImage>(each - own.length).fill(blank)]);
  });
  return sideBySide(columns, { gap: 0 });
}

/**
 * A row for each scene: the source, what each variant made of it, the drawn result if there is one.
 * @param edits by the names of variants, in the order of the scenes; scenes that a variant has not edited yet are left out
 */
export function comparison(scenes: readonly Scene[], edits: Readonly<Record<string, readonly RgbImage[]>>): RgbImage {
  const made = Object.values(edits);
  const full = scenes.filter((_, i) => made.every(pictures => pictures[i] !== undefined));
  const rows = full.map(({ source, truth }, i) => {
    const between = made.map(pictures => pictures[i] as RgbImage);
    return sideBySide([source, ...between, ...(truth ? [truth] : [])], { gap: GAP });
  });
  return stacked(rows);
}

/** Pictures of one width below each other. */
function stacked(rows: readonly RgbImage[]): RgbImage {
  const height = rows.reduce((sum, row) => sum + row.height, 0);
  const data = new Uint8Array(rows.reduce((sum, row) => sum + row.data.length, 0));
  let filled = 0;
  for (const row of rows) {
    data.set(row.data, filled);
    filled += row.data.length;
  }
  return { width: rows[0]?.width ?? 0, height, data };
}
