import { expect, test } from 'vitest';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { mapFolder } from '../../src/io/sources.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { T5ForConditionalGeneration } from '../../src/pipeline/text/t5.ts';
import { overlay, repositoryFolder } from '../support/captioner.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { picture } from '../support/pipeline.ts';
import { rowsOf } from '../support/t5.ts';
import { asTorchFile } from '../support/torch-file.ts';

/** The folder without its safetensors files. */
function plain(folder: FolderSource): FolderSource {
  return { ...folder, has: async path => !path.endsWith('.safetensors') && (await folder.has(path)) };
}

async function bytesOf(folder: FolderSource, path: string): Promise<Uint8Array> {
  const file = await folder.bytes(path);
  const bytes = new Uint8Array(file.byteLength);
  await file.read(0, bytes);
  return bytes;
}

test('T5 reads a folder of pytorch_model.bin alone', async () => {
  const golden = loadGolden('t5');
  const rows = (name: string) => rowsOf(golden.ints(name).data, golden.ints(name).shape);
  const files = overlay(repositoryFolder('test/golden/torch/t5'), plain(repositoryFolder('test/golden/t5/model')));
  const t5 = await T5ForConditionalGeneration.fromPretrained(files, { gpu: await testGpu() });
  const input = { ids: rows('input_ids'), attentionMask: rows('attention_mask') };
  expect((await t5.generate(input, { maxNewTokens: 20 })).sequences).toEqual(rows('greedy'));
  t5.dispose();
});

test('the pipeline reads a folder of .bin files alone, and makes what it makes of safetensors', async () => {
  const golden = loadGolden('sd1');
  const folder = repositoryFolder('test/golden/sd1/model');
  // Text encoder and autoencoder as torch.save wrote them; the UNet's twin is too large to keep.
  const unet = await asTorchFile(await bytesOf(folder, 'unet/diffusion_pytorch_model.safetensors'));
  const saved = [
    mapFolder({ 'unet/diffusion_pytorch_model.bin': unet }, 'bins'),
    repositoryFolder('test/golden/torch'),
  ];
  const bins = overlay(...saved, plain(folder));
  const run = async (source: FolderSource) => {
    const pipeline = await DiffEditPipeline.fromPretrained(source, { gpu: await testGpu(), onWarning: () => {} });
    const { images, mask } = await pipeline.run({
      ...{ image: picture(golden), sourcePrompt: 'a bowl', targetPrompt: 'a basket', seed: 3 },
      ...{ numInferenceSteps: 2, numMapsPerMask: 1, outputType: 'np' },
    });
    pipeline.dispose();
    return { images, mask };
  };
  expect(await run(bins)).toEqual(await run(folder));
});
