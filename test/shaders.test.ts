/** Every kernel compiles, as it stands with the libs that its head names and in every storage form. No adapter is needed. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ShaderError } from '../src/core/errors.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { specialize, type Values } from '../src/gpu/specialize.ts';
import { UNARY_FUNCTION } from '../src/kernels/elementwise-unary.ts';
import { ACTIVATION } from '../src/kernels/libs.ts';
import { requestGpu } from '../src/node/device.ts';

const dawnFlags = ['backend=null'];
const full = await requestGpu({ dawnFlags });
const bare = await requestGpu({ dawnFlags, bare: true });

const WGSL = new URL('../wgsl/', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, WGSL), 'utf8');
const libs = readdirSync(new URL('lib/', WGSL)).map(name => name.slice(0, -5));
const stems = readdirSync(WGSL)
  .filter(name => name.endsWith('.wgsl'))
  .map(name => name.slice(0, -5));
const FORMS = ['f32', 'f16', 'f16-packed', 'bf16-packed'];

/** The libs of a kernel by the names in its head; those that come in storage forms in the one asked for, or the nearest. */
function libsOf(stem: string, form: string): string[] {
  const head = read(`${stem}.wgsl`).replace(/\n\/\/ ?/g, ' ');
  const [, needs = ''] = /Needs: ([^.]*)\./.exec(head) ?? [];
  return needs
    .split(/, */)
    .filter(name => name !== 'nothing')
    .map(name => name.trim().replace(/^lib\//, ''))
    .map(name => {
      if (libs.includes(name)) return name;
      const nearest = form.startsWith('bf16') ? 'f32' : name.startsWith('matrix') ? 'f16' : form;
      const suited = libs.includes(`${name}-${form}`) ? form : nearest;
      expect(libs, `${stem} names a lib that is not there`).toContain(`${name}-${suited}`);
      return `${name}-${suited}`;
    });
}

/** What may stand in place of a lib that a head names: the entry where subgroups have one size, what nobody or a product measured or normalised. */
const INSTEAD: Record<string, string> = {
  'matrix-entry-pinned': 'matrix-entry',
  moments: 'moments-none',
  'normalize-none': 'normalize',
  'group-norm-finalize': 'group-norm-finalize-moments',
};

async function compile(
  gpu: Gpu,
  stem: string,
  form: string,
  values: Values,
  other = (lib: string) => lib,
): Promise<void> {
  const source = specialize(
    stem,
    read(`${stem}.wgsl`),
    libsOf(stem, form).map(name => read(`lib/${other(name)}.wgsl`)),
    values,
  );
  const module = gpu.device.createShaderModule({ label: stem, code: source });
  const { messages } = await module.getCompilationInfo();
  expect(messages.map(m => `${stem}.wgsl:${m.lineNum}: ${m.message}`)).toEqual([]);
  await gpu.device.createComputePipelineAsync({ label: stem, layout: 'auto', compute: { module, entryPoint: 'main' } });
}

/** The kernel's flags, each turned over alone. */
function flagsOf(stem: string): Values[] {
  return [...read(`${stem}.wgsl`).matchAll(/^const (\w+): bool = (true|false);/gm)].map(([, name, value]) => ({
    [name]: value !== 'true',
  }));
}

const ROWS: Record<string, readonly number[]> = {
  'gemv-broadcast': [1, 2, 4, 8],
  'gemv-tile': [1, 2, 4, 8, 16],
  'cache-gather': [1, 2, 4, 8, 16, 32, 64],
  'gemm-broadcast': [8, 16, 32],
  'gemm-tile': [64, 128],
};
/** Values of the constants that are no flags, by stem. */
const CHOICES: Record<string, (stem: string) => readonly number[]> = {
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

it('the null backend compiles with every feature, and without any', () => {
  expect(full.caps.device).toBe('null-backend');
  expect(full.caps.half).toBe('f16');
  expect(full.device.features.has('subgroups')).toBe(true);
  expect(bare.caps.half).toBe('f16-packed');
});

describe.each(stems)('%s', stem => {
  const subgroups = /^enable subgroups;/m.test(read(`${stem}.wgsl`));

  it.each(FORMS)('compiles with values as %s', async form => {
    await compile(full, stem, form, {});
    for (const flags of flagsOf(stem)) await compile(full, stem, form, flags);
    await compile(full, stem, form, {}, lib => INSTEAD[lib] ?? lib);
  });

  it('compiles with every value that its kernel may give its constants', async () => {
    const own = Object.entries(CHOICES).filter(([name]) =>
      new RegExp(`^const ${name}: u32 = `, 'm').test(read(`${stem}.wgsl`)),
    );
    for (const [name, values] of own)
      for (const value of values(stem)) await compile(full, stem, 'f32', { [name]: value });
  });

  if (subgroups) {
    const all = stem.endsWith('-matrix') ? [16, 32] : [4, 8, 16];
    it(`compiles for subgroups of ${all.join(', ')} lanes`, async () => {
      for (const LANES of all) await compile(full, stem, 'f32', { LANES });
    });
  } else {
    it('compiles without optional features', async () => {
      for (const form of ['f32', 'f16-packed']) await compile(bare, stem, form, {});
    });
  }
});

it('libs belong to a kernel', () => {
  const used = new Set(stems.flatMap(stem => FORMS.flatMap(form => libsOf(stem, form))));
  for (const lib of used) used.add(INSTEAD[lib] ?? lib);
  expect(libs.filter(name => !used.has(name))).toEqual([]);
});

it('a broken kernel is reported with its file, line and the lines around it', async () => {
  const code = '// first\n// second\n@compute @workgroup_size(1)\nfn main() {\n  let x: u32 = 1.5;\n}\n';
  const failed = full.pipelines.get('broken', code, []);
  await expect(failed).rejects.toThrow(ShaderError);
  await expect(full.pipelines.get('broken', code, [])).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ShaderError: broken: the device refused the kernel: got cannot convert value of type 'abstract-float' to type 'u32'
    3 | @compute @workgroup_size(1)
    4 | fn main() {
    5 |   let x: u32 = 1.5;
    6 | }
    7 |  (broken.wgsl:5). This is a defect of the library or of the driver: report it with the adapter name.]
  `);
});

it('a misspelt constant is refused before the device sees it', () => {
  expect(() => specialize('copy', read('copy.wgsl'), [], { WORKGRUOP: 64 })).toThrowErrorMatchingInlineSnapshot(
    `[ShaderError: specialize: 'WORKGRUOP' must be declared once by alias or const at the start of a line: expected 1, got 0 (copy.wgsl). Correct the name in the kernel description or the declaration in the file.]`,
  );
});
