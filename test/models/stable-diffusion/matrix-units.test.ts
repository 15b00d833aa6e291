/**
 * The networks of SD 2.1 in small by matrix units alone, and an edit by them, against the recordings. lavapipe has such units from Mesa
 * 26 on; on other adapters the same checks meet what the device chooses.
 */
import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import { timestepFeatures } from '../../../src/models/stable-diffusion/unet.ts';
import { readImage } from '../../../src/node/images.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { meanError, openPipeline } from '../../support/pipeline.ts';
import { force } from '../../support/rows.ts';
import { loadPart } from '../../support/stable-diffusion.ts';
import { evaluate, expectAllClose } from '../../support/taps.ts';

const dtype = 'float16';
const golden = loadGolden('sd2');
const gpu = await testGpu();
const tuning = gpu.caps.matrix && force('matrix');
const part = <P extends 'unet' | 'vae' | 'text_encoder'>(name: P) =>
  loadPart(gpu, 'sd2/model', name, { dtype, tuning });
const recorded = (graph: Graph, name: string, kind?: 'uint32') => {
  const { data, shape } = golden.tensor(name);
  return graph.input(DeviceTensor.from(gpu, data, shape, kind));
};
const meets = async (graph: Graph, name: string, tensor: Tensor) =>
  expectAllClose(await evaluate(graph, new Map([[name, tensor]]), { fuse: true, tuning }), golden, 1e-2);

test('the UNet predicts as recorded', async () => {
  const { model, weights } = await part('unet');
  const graph = new Graph(gpu, { dtype });
  const data = timestepFeatures([481], model.config);
  const time = graph.input(DeviceTensor.from(gpu, data, [1, data.length]));
  const context = model.context(recorded(graph, 'unet.context'));
  await meets(graph, 'unet.out', model.forward(recorded(graph, 'unet.sample'), time, context));
  weights.dispose();
});

test('the autoencoder decodes as recorded', async () => {
  const { model, weights } = await part('vae');
  const graph = new Graph(gpu, { dtype });
  await meets(graph, 'vae.decoded', model.decode(recorded(graph, 'vae.z')));
  weights.dispose();
});

test('the text encoder reads as recorded', async () => {
  const { model, weights } = await part('text_encoder');
  const graph = new Graph(gpu, { dtype });
  await meets(graph, 'text.last_hidden_state', model.forward(recorded(graph, 'text.input_ids', 'uint32')));
  weights.dispose();
});

// Most of a minute of LLVM.
test.runIf(process.env['PENTIMENTO_FULL'])('an edit gives the recorded picture', async () => {
  const { json, ...quick } = loadGolden('orchard/quick');
  const units = await testGpu({ matrixUnits: true });
  const compiled = vi.spyOn(units.pipelines, 'of');
  const pipeline = await openPipeline('models/orchard/stable-diffusion', { dtype, gpu: units });
  const sample = new URL(`../../../models/orchard/samples/${json.image}`, import.meta.url);
  const { images } = await pipeline.run({
    image: await readImage(new Uint8Array(readFileSync(sample))),
    ...{ sourcePrompt: json.source, targetPrompt: json.target, seed: json.seed },
    ...{ numInferenceSteps: json.steps, numMapsPerMask: json.maps, outputType: 'np' },
  });
  pipeline.dispose();
  const products = new Set(compiled.mock.calls.map(([{ kernel }]) => kernel).filter(k => /^(gemm|attention)-/.test(k)));
  if (units.caps.matrix) expect([...products].sort()).toEqual(['attention-matrix', 'gemm-matrix']);
  expect(meanError((images as NdArray).data, quick.floats('quick.image').data)).toBeLessThanOrEqual(3 / 255);
});
