/** SVG as text: elements, escaped, with coordinates of a tenth of a pixel, so that the same numbers give the same bytes. */

/** What an attribute may be; undefined leaves it out. */
export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** An element with children that are SVG already. */
export function node(tag: string, attributes: Attributes, ...children: readonly string[]): string {
  const said = Object.entries(attributes).flatMap(([name, value]) =>
    value === undefined ? [] : [` ${name}="${escaped(typeof value === 'number' ? tenths(value) : value)}"`],
  );
  const open = `<${tag}${said.join('')}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join('')}</${tag}>`;
}

/** Words at a place; their baseline is there. */
export function words(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return node('text', { x, y, ...attributes }, escaped(text));
}

/** Text as it stands in SVG. */
export function escaped(text: string): string {
  const codes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, one => codes[one] ?? one);
}

/** Pixels to a tenth. */
function tenths(value: number): string {
  const rounded = Math.round(value * 10) / 10;
  return String(Object.is(rounded, -0) ? 0 : rounded);
}

/** Letters by their width in em: those of a wide font, so that no other font needs more. */
const LETTERS: readonly (readonly [RegExp, number])[] = [
  [/[ilj.,:;|'! ·]/, 0.33],
  [/[frt()\-/]/, 0.41],
  [/[sckxyzv]/, 0.58],
  [/[mwMW%@→×…]/, 0.98],
];

/** How wide words are at most, in pixels. @param strong whether they are in semibold */
export function widthOf(text: string, size: number, strong = false): number {
  let em = 0;
  for (const letter of text) em += LETTERS.find(([pattern]) => pattern.test(letter))?.[1] ?? 0.64;
  return em * size * (strong ? 1.1 : 1);
}

/** Lines of at most that width, cut between words. */
export function wrapped(text: string, width: number, size: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const [last = ''] = lines.slice(-1);
    const longer = `${last} ${word}`;
    if (lines.length > 0 && widthOf(longer, size) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map(line => shortened(line, width, size));
}

/** What fits into a width, with an ellipsis where not all does. */
export function shortened(text: string, width: number, size: number, strong = false): string {
  if (widthOf(text, size, strong) <= width) return text;
  let kept = text;
  while (kept.length > 1 && widthOf(`${kept}…`, size, strong) > width) kept = kept.slice(0, -1);
  return `${kept.trimEnd()}…`;
}
