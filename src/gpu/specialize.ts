import { ShaderError } from '../core/errors.ts';

/** A kernel's text and what is set in it: one pipeline, whatever sizes it runs on. */
export interface Program {
  /** Stem of the .wgsl file, for messages and GPU tools. */
  readonly kernel: string;
  /** The whole file; each name in `values` is declared in it exactly once. */
  readonly source: string;
  /** Texts appended after it. */
  readonly libs: readonly string[];
  /** What replaces its `alias` and `const` lines, by name. */
  /** What replaces the right-hand sides of its `alias` and `const` lines, by their names. */
  readonly values: Values;
}

/** What replaces the right-hand side of an `alias` or a `const` at the start of a line. */
export type Values = Readonly<Record<string, string | number | boolean>>;

/**
 * Sets the head of a WGSL kernel: replaces `alias X = …;` and `const X: T = …;` declarations, appends library
 * texts, and prefixes `enable f16;` on line 1 where the result speaks of f16 (and the same for `@subgroup_size`), so that line numbers
 * stay the file's own.
 *
 * @param kernel name for messages, the stem of the .wgsl file
 * @param source the whole kernel file; each name in `values` must be declared in it exactly once
 * @param libs texts appended after the kernel (module-scope order is free in WGSL)
 * @throws ShaderError where a name is declared never or twice
 */
export function specialize(kernel: string, source: string, libs: readonly string[], values: Values): string {
  let text = source;
  for (const [name, value] of Object.entries(values)) {
    const declaration = new RegExp(`^((?:alias ${name}|const ${name}(?:: *[\\w<>]+)?) *= *)[^;]*;`, 'gm');
    const count = [...text.matchAll(declaration)].length;
    if (count !== 1) {
      throw new ShaderError({
        op: 'specialize',
        problem: `'${name}' must be declared once by alias or const at the start of a line`,
        expected: 1,
        received: count,
        path: `${kernel}.wgsl`,
        fix: 'Correct the name in the kernel description or the declaration in the file.',
      });
    }
    text = text.replace(declaration, (_, head: string) => `${head}${literal(value, head)};`);
  }
  const whole = [text, ...libs].join('\n');
  const code = withoutComments(whole);
  const enabled = ENABLED.flatMap(([mark, name]) => (mark.test(code) ? [`enable ${name}; `] : []));
  return enabled.join('') + whole;
}

/** What a text must enable, by what speaks of it: a type that an alias became, an attribute that a lib brought. */
const ENABLED: readonly (readonly [mark: RegExp, name: string])[] = [
  [/\bf16\b/, 'f16'],
  [/@subgroup_size\b/, 'subgroup_size_control'],
];

function literal(value: string | number | boolean, head: string): string {
  if (typeof value !== 'number') return String(value);
  if (head.includes(': u32')) return `${value}u`;
  return head.includes(': f32') && Number.isInteger(value) ? `${value}.0` : String(value);
}

function withoutComments(source: string): string {
  return source.replace(/\/\/.*$/gm, '');
}
