import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { otherWeights, variantsAmong } from '../../src/io/other-weights.ts';
import { writeSafetensors } from '../../src/io/safetensors.ts';
import { mapFolder, subfolder } from '../../src/io/sources.ts';
import { memoryFolder } from '../support/folder.ts';

const UNET = 'diffusion_pytorch_model';
const one = writeSafetensors({ a: { dtype: 'F32', shape: [1], data: Float32Array.of(1) } });
const files = (...names: readonly string[]) => Object.fromEntries(names.map(name => [name, one]));
/** A folder that can be listed, and one that answers for single names alone. */
const folders = [
  ['listed', (...names: readonly string[]) => mapFolder(files(...names), 'dir')],
  ['asked', (...names: readonly string[]) => memoryFolder(files(...names), 'dir')],
] as const;

describe.each(folders)('a folder without plain weights, %s', (_, folder) => {
  const open = (names: readonly string[], options = {}) => openCheckpoint(folder(...names), UNET, options);

  it('gives the only variant, and says so', async () => {
    const warnings: string[] = [];
    const options = { onWarning: (message: string) => warnings.push(message) };
    for (const name of [`${UNET}.fp16.safetensors`, `${UNET}.non_ema.bin`]) {
      const source = await open([name, 'config.json'], options).catch((error: unknown) => String(error));
      // What is no torch file is refused only once it has been chosen.
      if (typeof source === 'string') expect(source).toContain('non_ema.bin');
      else expect(source.tensors.has('a')).toBe(true);
    }
    expect(warnings).toEqual([
      `dir: no plain weights, those of the variant "fp16" are used (${UNET}.fp16.safetensors)`,
      `dir: no plain weights, those of the variant "non_ema" are used (${UNET}.non_ema.bin)`,
    ]);
    expect((await open([`${UNET}.fp16.safetensors`])).tensors.size).toBe(1);
  });

  it('lets the caller choose among several, and for one that is not there', async () => {
    const two = [`${UNET}.fp16.safetensors`, `${UNET}.fp16.bin`, `${UNET}.non_ema.safetensors`];
    await expect(open(two)).rejects.toThrow(
      /no weights: .+ \(dir\)\. Choose a variant that is there: variant: 'fp16' \(--variant fp16\), variant: 'non_ema' \(--variant non_ema\)\.$/,
    );
    await expect(open(two.slice(0, 1), { variant: 'bf16' })).rejects.toThrow(
      /no weights of the variant "bf16": .+Choose a variant that is there: variant: 'fp16'/,
    );
  });

  it.each([
    ['diffusion_flax_model.msgpack', /got diffusion_flax_model\.msgpack \(Flax\) .+from_flax=True/],
    ['tf_model.h5', /got tf_model\.h5 \(TensorFlow\) .+from_tf=True/],
    ['model.onnx', /got model\.onnx \(ONNX or OpenVINO\) .+Download/],
    ['openvino_model.xml', /got openvino_model\.xml \(ONNX or OpenVINO\)/],
    ['model.safetensors', /got model\.safetensors .+rename it to diffusion_pytorch_model\.safetensors\.$/],
    ['pytorch_model.bin', /got pytorch_model\.bin .+rename it to diffusion_pytorch_model\.bin\.$/],
  ])('says that %s lies there, and what to do', async (name, said) => {
    await expect(open([name, 'config.json'])).rejects.toThrow(/no weights that can be read: expected one of/);
    await expect(open([name, 'config.json'])).rejects.toThrow(said);
  });

  it('does not take the plain file for another when a variant is missing', async () => {
    await expect(open([`${UNET}.safetensors`], { variant: 'fp16' })).rejects.toThrow(
      /Download it, or leave the variant/,
    );
  });
});

describe('otherWeights', () => {
  it('finds what only a listing shows', async () => {
    const shards = mapFolder(files(`${UNET}-00001-of-00002.safetensors`, `${UNET}-00002-of-00002.safetensors`));
    expect((await otherWeights(shards, UNET)).found).toMatch(
      /-00001-of-00002\.safetensors \(shards without an index\)$/,
    );
    const odd = await otherWeights(mapFolder(files(`${UNET}.my_own.safetensors`)), UNET);
    expect(odd.variants).toEqual(['my_own']);
    const nothing = { variants: [], found: undefined, fix: undefined };
    expect(await otherWeights(mapFolder(files('config.json')), UNET)).toEqual(nothing);
  });

  it('looks into a folder of a folder', async () => {
    const folder = mapFolder(files('unet/model.onnx', 'unet/deep/x.bin', 'vae/y.bin', 'model_index.json'));
    expect(await folder.list?.('')).toEqual(['model_index.json']);
    expect(await folder.list?.('unet')).toEqual(['model.onnx']);
    expect(await folder.list?.('none')).toEqual([]);
    expect(await subfolder(folder, 'unet').list?.('')).toEqual(['model.onnx']);
    expect(await subfolder(folder, 'unet').list?.('deep')).toEqual(['x.bin']);
    expect(subfolder(memoryFolder({}), 'unet').list).toBeUndefined();
  });

  it('reads variants off single files and indices, once each, and not off shards', () => {
    const names = [
      ...[`${UNET}.fp16.safetensors`, `${UNET}.safetensors.index.bf16.json`, `${UNET}.bin.index.json`],
      ...[
        `${UNET}.fp32-00001-of-00002.safetensors`,
        `${UNET}.safetensors`,
        'model.ema.safetensors',
        `${UNET}.fp16.bin`,
      ],
    ];
    expect(variantsAmong(names, UNET)).toEqual(['fp16', 'bf16']);
    expect(variantsAmong(names, 'model')).toEqual(['ema']);
  });
});
