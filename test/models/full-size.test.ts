import { expect, test } from 'vitest';
import { BlipModel, parseBlipConfig } from '../../src/models/blip/index.ts';
import {
  AutoencoderKL,
  ClipTextModel,
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
  timestepFeatures,
  UNet2DConditionModel,
} from '../../src/models/stable-diffusion/index.ts';
import { parseT5Config, T5Model } from '../../src/models/t5/index.ts';
import type { LoadedWeights } from '../../src/nn/load.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { relativeL2 } from '../support/close.ts';
import { type FullSize, fullSize } from '../support/fake-weights.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { evaluate } from '../support/taps.ts';

/**
 * The published architectures at their own widths, depths and vocabularies, with made-up weights, against the real libraries:
 * what small models cannot show, from the names of 686 tensors to a vocabulary of 49408. The networks of a gigabyte
 * are for `npm run test:full`; every day runs the VAE.
 */
const golden = loadGolden('fullsize');
const gpu = await testGpu();

async function load<M>(
  part: FullSize,
  make: (w: Weights, json: unknown) => M,
): Promise<{ model: M; weights: LoadedWeights }> {
  const { config, source } = fullSize(part);
  const w = Weights.open(source);
  const model = make(w, config);
  return { model, weights: await w.load(gpu, { dtype: 'float32' }) };
}

function input(graph: Graph, name: string, dtype: 'float32' | 'uint32' = 'float32'): Tensor {
  const { data, shape } = golden.tensor(name);
  return graph.input(DeviceTensor.from(gpu, data, shape, dtype));
}

function compute(graph: Graph, wanted: Record<string, Tensor>): Promise<Map<string, Float32Array>> {
  return evaluate(graph, new Map(Object.entries(wanted)), { fuse: true });
}

function meets(values: ReadonlyMap<string, Float32Array>): void {
  for (const [name, value] of values) {
    const { data } = golden.floats(name);
    // Where torch's own float32 misses float64 by more than the bound, three times its error is ours.
    const bound = Math.max(1e-4, 3 * (golden.json.torch_error[name] ?? 0));
    // A recorded part counts from the front.
    expect(relativeL2(value.subarray(0, data.length), data), name).toBeLessThan(bound);
  }
}

const NETWORKS: Record<string, () => Promise<void>> = {
  'the text encoder of Stable Diffusion 2.1': async () => {
    const { model, weights } = await load('clip', (w, json) => new ClipTextModel(w, parseClipTextConfig(json, 'clip')));
    const graph = new Graph(gpu, { dtype: 'float32' });
    const out = model.forward(input(graph, 'clip.input_ids', 'uint32'));
    meets(await compute(graph, { 'clip.last_hidden_state': out }));
    weights.dispose();
  },

  'the VAE of Stable Diffusion': async () => {
    const { model, weights } = await load('vae', (w, json) => new AutoencoderKL(w, parseVaeConfig(json, 'vae')));
    const graph = new Graph(gpu, { dtype: 'float32' });
    const moments = model.encode(input(graph, 'vae.image'));
    const decoded = model.decode(input(graph, 'vae.z'));
    const values = await compute(graph, { moments, 'vae.decoded': decoded });
    const data = values.get('moments') as Float32Array;
    values.delete('moments');
    values.set('vae.mean', data.subarray(0, data.length / 2));
    values.set(
      'vae.std',
      data.subarray(data.length / 2).map(logVariance => Math.exp(logVariance / 2)),
    );
    meets(values);
    weights.dispose();
  },

  'the UNet of Stable Diffusion 2.1': async () => {
    const make = (w: Weights, json: unknown) => new UNet2DConditionModel(w, parseUNetConfig(json, 'unet'));
    const { model, weights } = await load('unet', make);
    for (const size of ['small', 'odd', 'mid']) {
      const graph = new Graph(gpu, { dtype: 'float32' });
      const features = timestepFeatures([481], model.config);
      const time = graph.input(DeviceTensor.from(gpu, features, [1, features.length]));
      const context = model.context(input(graph, `unet.${size}.context`));
      const out = model.forward(input(graph, `unet.${size}.sample`), time, context);
      meets(await compute(graph, { [`unet.${size}.out`]: out }));
    }
    weights.dispose();
  },

  'BLIP base': async () => {
    const { model, weights } = await load(
      'blip',
      (w, json) =>
        new BlipModel(
          w,
          parseBlipConfig(json, 'blip', () => {}),
        ),
    );
    const graph = new Graph(gpu, { dtype: 'float32' });
    const vision = model.vision.forward(input(graph, 'blip.pixel_values'));
    const logits = model.text.forward(input(graph, 'blip.input_ids', 'uint32'), model.text.context(vision), {});
    meets(await compute(graph, { 'blip.vision': vision, 'blip.logits': logits }));
    weights.dispose();
  },

  'Flan-T5 large': async () => {
    const { model, weights } = await load('t5', (w, json) => new T5Model(w, parseT5Config(json, 't5')));
    const graph = new Graph(gpu, { dtype: 'float32' });
    const encoded = model.encoder.forward(input(graph, 't5.input_ids', 'uint32'));
    const keyValues = model.decoder.context(encoded);
    const logits = model.decoder.forward(input(graph, 't5.decoder_input_ids', 'uint32'), { keyValues });
    meets(await compute(graph, { 't5.encoder': encoded, 't5.logits': logits }));
    weights.dispose();
  },
};

const DAILY = ['the VAE of Stable Diffusion'];
test.each(process.env.PENTIMENTO_FULL ? Object.keys(NETWORKS) : DAILY)(
  '%s',
  async name => {
    await NETWORKS[name]();
  },
  600_000,
);
