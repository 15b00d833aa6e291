/** Places of a document that are written by a script: what stands between two comments. */
import { InputError } from '../../src/core/errors.ts';

/** Writes what stands in a place; `words` are those behind its name in the comment. */
export type Figure = (...words: readonly string[]) => string;

const PLACE = /<!-- figures: ([^\n]*?) -->\n([\s\S]*?)<!-- end of figures -->/g;
const BEGIN = '<!-- figures: ';

/**
 * The document with every place written anew: `<!-- figures: NAME WORDS... -->`, lines, `<!-- end of figures -->`.
 * @throws InputError for a name that there is no figure of, and for a place without its end
 */
export function withFigures(document: string, figures: Readonly<Record<string, Figure>>): string {
  let places = 0;
  const written = document.replace(PLACE, (whole, said: string, old: string) => {
    places++;
    const [name = '', ...words] = said.split(' ');
    const figure = figures[name];
    if (!figure || old.includes(BEGIN)) throw refusal(whole.split('\n')[0] ?? '', Object.keys(figures));
    return `${BEGIN}${said} -->\n${figure(...words)}\n<!-- end of figures -->`;
  });
  if (places !== document.split(BEGIN).length - 1) throw refusal(BEGIN, Object.keys(figures));
  return written;
}

function refusal(value: string, expected: readonly string[]): InputError {
  return new InputError({
    op: 'figures',
    problem: 'no place that can be written',
    value,
    expected,
    fix: 'Name one of these, and end the place with a line <!-- end of figures -->.',
  });
}

/** A table in Markdown; the first column to the left, the others to the right. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|---|${'---:|'.repeat(head.length - 1)}`, ...rows.map(line)].join('\n');
}

const LETTERS = 150;

/** A paragraph in lines, as the documents have them. */
export function wrappedText(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1) ?? ''} ${word}`;
    if (lines.length > 0 && longer.length <= LETTERS) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.join('\n');
}
