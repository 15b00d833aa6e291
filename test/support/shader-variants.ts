/** Every kernel as it stands with the libs that its head names: in every storage form, and with every value of its constants. */
import { readdirSync, readFileSync } from 'node:fs';
import { specialize, type Values } from '../../src/gpu/specialize.ts';
import { UNARY_FUNCTION } from '../../src/kernels/elementwise-unary.ts';
import { ACTIVATION } from '../../src/kernels/libs.ts';

const WGSL = new URL('../../wgsl/', import.meta.url);
export const readShader = (name: string): string => readFileSync(new URL(name, WGSL), 'utf8');
export const libs: readonly string[] = readdirSync(new URL('lib/', WGSL)).map(name => name.slice(0, -5));
export const stems: readonly string[] = readdirSync(WGSL)
  .filter(name => name.endsWith('.wgsl'))
  .map(name => name.slice(0, -5));
export const FORMS = ['f32', 'f16', 'f16-packed', 'bf16-packed'] as const;

/** One text that a device may be given. */
export interface ShaderVariant {
  readonly stem: string;
  readonly form: string;
  readonly values: Values;
  /** With what may stand in place of libs, by `standIn`. */
  readonly others?: boolean;
}

/** The libs of a kernel by the names in its head; those that come in storage forms in the one asked for, or the nearest. */
export function libsOf(stem: string, form: string): string[] {
  const head = readShader(`${stem}.wgsl`).replace(/\n\/\/ ?/g, ' ');
  const [, needs = ''] = /Needs: ([^.]*)\./.exec(head) ?? [];
  return needs
    .split(/, */)
    .filter(name => name !== 'nothing')
    .map(name => name.trim().replace(/^lib\//, ''))
    .map(name => {
      if (libs.includes(name)) return name;
      const nearest = form.startsWith('bf16') ? 'f32' : name.startsWith('matrix') ? 'f16' : form;
      const suited = `${name}-${libs.includes(`${name}-${form}`) ? form : nearest}`;
      if (!libs.includes(suited)) throw new Error(`${stem}.wgsl names a lib that is not there: ${suited}`);
      return suited;
    });
}

/** What may stand in place of a lib that a head names: the entry where subgroups have one size, what nobody or a product measured or
 * normalised. */
const INSTEAD: Readonly<Record<string, string>> = {
  'matrix-entry-pinned': 'matrix-entry',
  moments: 'moments-none',
  'normalize-none': 'normalize',
  'group-norm-finalize': 'group-norm-finalize-moments',
};
export const standIn = (lib: string): string => INSTEAD[lib] ?? lib;

export function sourceOf({ stem, form, values, others = false }: ShaderVariant): string {
  const names = libsOf(stem, form).map(lib => (others ? standIn(lib) : lib));
  return specialize(
    stem,
    readShader(`${stem}.wgsl`),
    names.map(name => readShader(`lib/${name}.wgsl`)),
    values,
  );
}

export function usesSubgroups(stem: string): boolean {
  return /^enable subgroups;/m.test(readShader(`${stem}.wgsl`));
}

/** The kernel's flags, each turned over alone. */
function flagsOf(stem: string): Values[] {
  return [...readShader(`${stem}.wgsl`).matchAll(/^const (\w+): bool = (true|false);/gm)].map(([, name, value]) => ({
    [name]: value !== 'true',
  }));
}

const ROWS: Readonly<Record<string, readonly number[]>> = {
  'gemv-broadcast': [1, 2, 4, 8],
  'gemv-tile': [1, 2, 4, 8, 16],
  'cache-gather': [1, 2, 4, 8, 16, 32, 64],
  'gemm-broadcast': [8, 16, 32],
  'gemm-tile': [64, 128],
};
/** Values of the constants that are no flags, by stem. */
const CHOICES: Readonly<Record<string, (stem: string) => readonly number[]>> = {
  ACTIVATION: () => Object.values(ACTIVATION),
  INPUT_ACTIVATION: () => Object.values(ACTIVATION),
  FUNCTION: () => Object.values(UNARY_FUNCTION),
  OPERATION: () => [0, 1, 2, 3],
  PARTS: stem => (stem === 'sum-parts' ? [2, 3, 4] : []),
  BLOCKS: stem => (stem === 'attention-tile' ? [1, 2] : [1, 2, 3, 4, 5]),
  ROWS: stem => ROWS[stem] ?? [],
  COLUMNS: stem => (stem.endsWith('-matrix') ? [] : [64, 128]),
  SPAN: () => [4, 8],
  DEPTH: stem => (stem === 'gemm-tile' ? [8, 16] : []),
  UNROLL: () => [1, 8],
  QUERIES: () => [2, 4],
  KEYS: stem => (stem === 'attention-tile' ? [32, 64] : []),
  THREADS: stem => (stem === 'attention-tile' ? [128, 256] : []),
  SOURCE: () => [0, 1, 2],
  TARGET: () => [0, 1, 2],
};

/** A kernel in one storage form: plain, each flag turned over, and with other libs. */
export function formsOf(stem: string, form: string): ShaderVariant[] {
  return [{}, ...flagsOf(stem)]
    .map((values): ShaderVariant => ({ stem, form, values }))
    .concat({ stem, form, values: {}, others: true });
}

/** A kernel with every value that its description in src/kernels may give its constants. */
export function choicesOf(stem: string): ShaderVariant[] {
  const own = Object.entries(CHOICES).filter(([name]) =>
    new RegExp(`^const ${name}: u32 = `, 'm').test(readShader(`${stem}.wgsl`)),
  );
  return own.flatMap(([name, values]) => values(stem).map(value => ({ stem, form: 'f32', values: { [name]: value } })));
}

/** All texts that devices without subgroups are given, each once; and one that no compiler takes, by the name `broken`. */
export function shadersWithoutSubgroups(): { readonly name: string; readonly code: string }[] {
  const variants = stems
    .filter(stem => !usesSubgroups(stem))
    .flatMap(stem => [...FORMS.flatMap(form => formsOf(stem, form)), ...choicesOf(stem)]);
  const byCode = new Map(variants.map(variant => [sourceOf(variant), variant]));
  const named = [...byCode].map(([code, { stem, form, values, others }]) => ({
    name: [stem, form, ...Object.entries(values).map(([name, value]) => `${name} ${value}`), others && 'others'].join(
      ' ',
    ),
    code,
  }));
  return [...named, { name: 'broken', code: '@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }' }];
}
