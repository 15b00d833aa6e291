/** Every kernel compiles, as it stands with the libs that its head names and in every storage form. No adapter is needed. */
import { describe, expect, it } from 'vitest';
import { ShaderError } from '../src/core/errors.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { specialize } from '../src/gpu/specialize.ts';
import { requestGpu } from '../src/node/device.ts';
import * as shaders from './support/shader-variants.ts';

const dawnFlags = ['backend=null'];
const full = await requestGpu({ dawnFlags });
const bare = await requestGpu({ dawnFlags, bare: true });

async function compile(gpu: Gpu, variants: readonly shaders.ShaderVariant[]): Promise<void> {
  for (const variant of variants) {
    const { stem } = variant;
    const module = gpu.device.createShaderModule({ label: stem, code: shaders.sourceOf(variant) });
    const { messages } = await module.getCompilationInfo();
    expect(messages.map(m => `${stem}.wgsl:${m.lineNum}: ${m.message}`)).toEqual([]);
    const compute = { module, entryPoint: 'main' };
    await gpu.device.createComputePipelineAsync({ label: stem, layout: 'auto', compute });
  }
}

it('the null backend compiles with every feature, and without any', () => {
  expect(full.caps.device).toBe('null-backend');
  expect(full.caps.half).toBe('f16');
  expect(full.device.features.has('subgroups')).toBe(true);
  expect(bare.caps.half).toBe('f16-packed');
});

describe.each(shaders.stems)('%s', stem => {
  it.each(shaders.FORMS)('compiles with values as %s', async form => {
    await compile(full, shaders.formsOf(stem, form));
  });

  it('compiles with every value that its kernel may give its constants', async () => {
    await compile(full, shaders.choicesOf(stem));
  });

  if (shaders.usesSubgroups(stem)) {
    const all = stem.endsWith('-matrix') ? [16, 32] : [4, 8, 16];
    it(`compiles for subgroups of ${all.join(', ')} lanes`, async () => {
      await compile(
        full,
        all.map(LANES => ({ stem, form: 'f32', values: { LANES } })),
      );
    });
  } else {
    it('compiles without optional features', async () => {
      await compile(
        bare,
        ['f32', 'f16-packed'].map(form => ({ stem, form, values: {} })),
      );
    });
  }
});

it('libs belong to a kernel', () => {
  const used = new Set(shaders.stems.flatMap(stem => shaders.FORMS.flatMap(form => shaders.libsOf(stem, form))));
  for (const lib of used) used.add(shaders.standIn(lib));
  expect(shaders.libs.filter(name => !used.has(name))).toEqual([]);
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
  expect(() =>
    specialize('copy', shaders.readShader('copy.wgsl'), [], { WORKGRUOP: 64 }),
  ).toThrowErrorMatchingInlineSnapshot(
    `[ShaderError: specialize: 'WORKGRUOP' must be declared once by alias or const at the start of a line: expected 1, got 0 (copy.wgsl). Correct the name in the kernel description or the declaration in the file.]`,
  );
});
