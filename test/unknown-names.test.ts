/** No options object of the public API passes over a name that it does not know; config files may hold any. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InputError } from '../src/core/errors.ts';
import type { NdArray } from '../src/core/ndarray.ts';
import { readCaps } from '../src/gpu/caps.ts';
import { Gpu } from '../src/gpu/device.ts';
import { openCheckpoint } from '../src/io/checkpoint.ts';
import { fitImage } from '../src/io/fit.ts';
import { loadImage } from '../src/io/load-image.ts';
import { sideBySide } from '../src/io/mask.ts';
import { imagesToArray, preprocessImage } from '../src/io/preprocess.ts';
import { writeSafetensors } from '../src/io/safetensors.ts';
import { urlFolder, urlSource } from '../src/io/url-source.ts';
import { choose } from '../src/kernels/op.ts';
import { checkTuning } from '../src/kernels/registry.ts';
import { SOFTMAX } from '../src/kernels/softmax.ts';
import { Weights } from '../src/nn/weights.ts';
import { requestGpu } from '../src/node/device.ts';
import { fetchModel } from '../src/node/hub.ts';
import { readImage } from '../src/node/images.ts';
import { keptTuning } from '../src/node/kept-tuning.ts';
import { cachedFolder, hubUrlFolder, listCache, purge } from '../src/page.ts';
import { DiffEditPipeline } from '../src/pipeline/diffedit/pipeline.ts';
import { embedPrompts } from '../src/pipeline/diffusion/embed-prompts.ts';
import { openSingleFile } from '../src/pipeline/diffusion/single-file.ts';
import { caption, generatePrompts } from '../src/pipeline/guide/captions-and-prompts.ts';
import { runGuide } from '../src/pipeline/guide/guide.ts';
import { problemsOf } from '../src/pipeline/problems/model-problems.ts';
import { BlipForConditionalGeneration } from '../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../src/pipeline/text/t5.ts';
import {
  applyStep,
  DDIMInverseScheduler,
  DDIMScheduler,
  Generator,
  makeBetas,
  maskFromMap,
  regularise,
} from '../src/schedulers/index.ts';
import { Graph } from '../src/tensor/graph.ts';
import { type BertTokenizer, ClipTokenizer, T5Tokenizer } from '../src/tokenizers/index.ts';
import { keptTuning as keptInPage, tune } from '../src/tuning.ts';
import { repositoryFolder } from './support/captioner.ts';
import { testGpu } from './support/gpu.ts';

const folders = {
  sd: repositoryFolder('test/golden/sd1/model'),
  t5: repositoryFolder('models/orchard/t5'),
  blip: repositoryFolder('models/orchard/blip'),
};
const image = { width: 16, height: 16, data: new Uint8Array(16 * 16 * 3) };
const x: NdArray = { data: new Float32Array(16), shape: [1, 1, 4, 4] };
const rows = { pitch: 4, storage: 'f32' } as const;
const softmaxProblem = { rows: 1, width: 4, x: rows, y: rows };
const forward = new DDIMScheduler();
const { betaSchedule, betaStart, betaEnd, numTrainTimesteps, trainedBetas } = forward.config;
const betas = { betaSchedule, betaStart, betaEnd, numTrainTimesteps, trainedBetas };
forward.setTimesteps(10);

let gpu: Gpu;
let pipe: DiffEditPipeline;
let t5: T5ForConditionalGeneration;
let blip: BlipForConditionalGeneration;
const tokenizers: Record<string, ClipTokenizer | T5Tokenizer | BertTokenizer> = {};
beforeAll(async () => {
  gpu = await testGpu();
  const unloaded = { gpu, modelCpuOffload: true };
  pipe = await DiffEditPipeline.fromPretrained(folders.sd, unloaded);
  t5 = await T5ForConditionalGeneration.fromPretrained(folders.t5, unloaded);
  blip = await BlipForConditionalGeneration.fromPretrained(folders.blip, unloaded);
  tokenizers['clip'] = await ClipTokenizer.fromFolder(folders.sd, 'tokenizer');
  if (t5.tokenizer) tokenizers['t5'] = t5.tokenizer;
  tokenizers['bert'] = blip.tokenizer;
});
afterAll(() => {
  for (const model of [pipe, t5, blip]) model.dispose();
});

/** Calls with further options, each otherwise complete. */
type Call = (more: object) => unknown;
const prompts = { image, sourcePrompt: 'a', targetPrompt: 'b' };
const guide = { models: { diffusion: folders.sd, t5: folders.t5, blip: folders.blip }, image, from: 'a', to: 'b' };

const weights = () => Weights.open({ label: 'none', tensors: new Map(), read: async () => undefined });

/** A call, a name that it does not know, and the remedy. */
const CALLS: Readonly<Record<string, readonly [string, string, Call]>> = {
  generateMask: ['num_maps_per_mask', 'Write numMapsPerMask.', o => pipe.generateMask({ ...prompts, ...o })],
  invert: [
    'seed',
    'seed belongs to run(). Pass generator: new Generator(seed).',
    o => pipe.invert({ image, prompt: 'a', ...o }),
  ],
  invertSteps: ['guidance_scale', 'Write guidanceScale.', o => pipe.invertSteps({ image, prompt: 'a', ...o }).next()],
  edit: ['mask', 'Known are ', o => pipe.edit({ prompt: 'a', maskImage: image, imageLatents: x, ...o })],
  editSteps: [
    'sourcePrompt',
    'sourcePrompt belongs to generateMask(), run().',
    o => pipe.editSteps({ prompt: 'a', maskImage: image, imageLatents: x, ...o }).next(),
  ],
  run: ['guidance_scale', 'Write guidanceScale.', o => pipe.run({ ...prompts, ...o })],
  runSteps: ['decodeLatents', 'run() has returnLatents.', o => pipe.runSteps({ ...prompts, ...o }).next()],
  pasteBack: ['sigma', 'Known are image, blur, fit.', o => pipe.run({ ...prompts, pasteBack: { image, ...o } })],
  encodePrompt: ['clip_skip', 'Write clipSkip.', o => pipe.encodePrompt('a', o)],
  'pipeline.embedPrompts': ['onprogress', 'Write onProgress.', o => pipe.embedPrompts(['a'], o)],
  embedPrompts: ['numImagesPerPrompt', 'Known are signal', o => embedPrompts(pipe, ['a'], o)],
  enableVaeTiling: ['overlaps', 'Write overlap.', o => pipe.enableVaeTiling(o)],
  'DiffEditPipeline.fromPretrained': [
    'torch_dtype',
    'Known are gpu, dtype',
    o => DiffEditPipeline.fromPretrained(folders.sd, { gpu, ...o }),
  ],
  'DiffEditPipeline.fromSingleFile': [
    'prediction_type',
    'Write predictionType.',
    o => DiffEditPipeline.fromSingleFile(new Uint8Array(), { gpu, ...o }),
  ],
  openSingleFile: ['original_config', 'Write originalConfig.', o => openSingleFile(new Uint8Array(), o)],
  'T5ForConditionalGeneration.fromPretrained': [
    'mendQuirks',
    'Known are gpu, dtype',
    o => T5ForConditionalGeneration.fromPretrained(folders.t5, { gpu, ...o }),
  ],
  'BlipForConditionalGeneration.fromPretrained': [
    'modelCPUOfload',
    'Write modelCpuOffload.',
    o => BlipForConditionalGeneration.fromPretrained(folders.blip, { gpu, ...o }),
  ],
  't5.generate': ['numBeam', 'Write numBeams.', o => t5.generate('a', o)],
  't5.generate of ids': ['attention_mask', 'Write attentionMask.', o => t5.generate({ ids: [[5, 1]], ...o })],
  't5.encode': ['Signal', 'Write signal.', o => t5.encode('a', o)],
  't5.logits': ['progress', 'Write onProgress.', o => t5.logits('a', [[0]], o)],
  'blip.generate': ['max_new_tokens', 'Write maxNewTokens.', o => blip.generate(image, o)],
  'blip.generate of pixels': ['id', 'Known are pixels, ids', o => blip.generate({ pixels: x, ...o })],
  'blip.caption': ['top-k', 'Write topK.', o => blip.caption(image, 'a', o)],
  caption: ['temprature', 'Write temperature.', o => caption(blip, image, null, o)],
  generatePrompts: ['top_k', 'Write topK.', o => generatePrompts(t5, 'bowl', o)],
  runGuide: ['num_prompts', 'Write numPrompts.', o => runGuide({ ...guide, ...o })],
  'runGuide, models': [
    'captioner',
    'Known are diffusion, t5, blip.',
    o => runGuide({ ...guide, models: { ...guide.models, ...o } }),
  ],
  'runGuide, of a name that it decides': [
    'maskImage',
    'The guide makes it itself; DiffEditPipeline.run() takes it.',
    o => runGuide({ ...guide, ...o }),
  ],
  'new DDIMScheduler': ['steps_offset', 'Write stepsOffset.', o => new DDIMScheduler(o)],
  'new DDIMScheduler of a file': [
    '_class_name',
    'A parsed scheduler_config.json goes to DDIMScheduler.fromConfig().',
    o => new DDIMScheduler(o),
  ],
  'new DDIMScheduler of what a config hides': ['stored', 'Known are ', o => new DDIMScheduler(o)],
  'DDIMScheduler.fromConfig': [
    'prediction_type',
    'Write predictionType.',
    o => DDIMScheduler.fromConfig(forward.config, o),
  ],
  'DDIMScheduler.fromConfig, warnings': [
    'onWarnings',
    'Write onWarning.',
    o => DDIMScheduler.fromConfig(forward.config, {}, o),
  ],
  'new DDIMInverseScheduler': ['thresholding', 'Known are ', o => new DDIMInverseScheduler(o)],
  'DDIMInverseScheduler.fromConfig': [
    'setAlphaToNone',
    'Write setAlphaToOne.',
    o => DDIMInverseScheduler.fromConfig(forward.config, o),
  ],
  step: ['Eta', 'Write eta.', o => forward.step(x, 900, x, o)],
  stepCoefficients: ['generator', 'Known are eta.', o => forward.stepCoefficients(900, o)],
  schedule: ['form', 'Write from.', o => forward.schedule(10, o)],
  maskFromMap: ['per_image', 'Write perImage.', o => maskFromMap({ data: x.data, shape: [1, 4, 4] }, o)],
  regularise: [
    'lambda_kl',
    'Write lambdaKl.',
    o => regularise(x, x, { epsilon: { sample: 0, output: 1 }, draw: () => 0, ...o }),
  ],
  makeBetas: [
    'rescale_betas_zero_snr',
    'Write rescaleBetasZeroSnr.',
    o => makeBetas({ ...betas, rescaleBetasZeroSnr: false, ...o }),
  ],
  applyStep: ['noises', 'Write noise.', o => applyStep(forward.stepCoefficients(900), x, x, o)],
  'new Graph': ['dType', 'Write dtype.', o => new Graph(gpu, o)],
  'graph.compile': ['tunning', 'Write tuning.', o => new Graph(gpu).compile(o)],
  'graph.compile, tuning': ['forced', 'Write force.', o => new Graph(gpu).compile({ tuning: o })],
  'graph.compile, a choice of tuning': [
    'when',
    'Known are op, where, variant, tiles.',
    o => new Graph(gpu).compile({ tuning: { table: [{ op: 'softmax', variant: 'softmax-tile', ...o }] } }),
  ],
  'Weights.load': ['staging_bytes', 'Write stagingBytes.', o => weights().load(gpu, o)],
  'Weights.load, tuning': ['forces', 'Write force.', o => weights().load(gpu, { tuning: o })],
  'Gpu.request': ['max_binding_bytes', 'Write maxBindingBytes.', o => Gpu.request(o)],
  'Gpu.request, tuning': ['forces', 'Write force.', o => Gpu.request({ device: gpu.device, tuning: o })],
  'Gpu.dry': ['tunings', 'Write tuning.', o => Gpu.dry({}, undefined, o)],
  requestGpu: ['adapter', 'Known are ', o => requestGpu(o)],
  problemsOf: ['batches', 'Write batch.', o => problemsOf(folders.t5, { caps: gpu.caps, ...o })],
  tune: ['clocks', 'Write clock.', o => tune(gpu, [], o)],
  keptTuning: ['folders', 'Write folder.', o => keptTuning(gpu, o)],
  'keptTuning in a page': ['onWarnings', 'Write onWarning.', o => keptInPage(gpu, o)],
  fetchModel: ['revison', 'Write revision.', o => fetchModel('owner/name', o)],
  loadImage: ['signals', 'Write signal.', o => loadImage(new Uint8Array(1), o)],
  readImage: ['timeout', 'Known are signal, maxPixels, onWarning.', o => readImage('x.png', o)],
  fitImage: ['mode', 'Known are fit, size.', o => fitImage(image, pipe, o)],
  sideBySide: ['gaps', 'Write gap.', o => sideBySide([image], o)],
  preprocessImage: ['resampling', 'Write resample.', o => preprocessImage(image, { factor: 8, ...o })],
  imagesToArray: ['factors', 'Write factor.', o => imagesToArray([image], { factor: 8, ...o })],
  openCheckpoint: ['varient', 'Write variant.', o => openCheckpoint(folders.t5, 'model', o)],
  'tuning of a kernel': ['forced', 'Write force.', o => choose(SOFTMAX, gpu.caps, softmaxProblem, o)],
  'tuning, its table': [
    'when',
    'Known are op, where, variant, tiles.',
    o => checkTuning({ table: [{ op: 'softmax', variant: 'softmax-tile', ...o }] }),
  ],
  readCaps: ['halfs', 'Write half.', o => readCaps(gpu.device, gpu.device.adapterInfo, o)],
  writeSafetensors: [
    'dtypes',
    'Write dtype.',
    o => writeSafetensors({ x: { dtype: 'F32', shape: [1], data: Float32Array.of(1), ...o } }),
  ],
  urlSource: ['header', 'Write headers.', o => urlSource('http://localhost/x', o)],
  cachedFolder: ['piecesBytes', 'Write pieceBytes.', o => cachedFolder(urlFolder('http://localhost/'), o)],
  hubUrlFolder: ['tokens', 'Write token.', o => hubUrlFolder('a/b', o)],
  listCache: ['rooot', 'Write root.', o => listCache(o)],
  purge: ['names', 'Write name.', o => purge(o)],
  urlFolder: ['header', 'Write headers.', o => urlFolder('http://localhost/', o)],
  'T5Tokenizer.fromFolder': ['modes', 'Write mode.', o => T5Tokenizer.fromFolder(folders.t5, '', o)],
  'clip.encode': ['max_length', 'Write maxLength.', o => tokenizers['clip'].encode('a', o)],
  't5.encodeBatch': ['add_special_tokens', 'Write addSpecialTokens.', o => tokenizers['t5'].encodeBatch(['a'], o)],
  'bert.decode': ['skip_special_tokens', 'Write skipSpecialTokens.', o => tokenizers['bert'].decode([1], o)],
  'bert.decodeBatch': ['cleanup', 'Write cleanUp.', o => tokenizers['bert'].decodeBatch([[1]], o)],
};

describe('a name that nobody knows is refused, with the nearest one', () => {
  test.each(Object.entries(CALLS))('%s', async (_, [name, remedy, call]) => {
    const error = await (async () => call({ [name]: 1 }))().then(
      () => 'accepted',
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(InputError);
    expect(String(error)).toContain(`there is no such argument: got ${name}. `);
    expect(String(error)).toContain(remedy);
  });

  test('and all models are still without a byte on the device', () => {
    expect([pipe.peakBytes, t5.peakBytes, blip.peakBytes]).toEqual([0, 0, 0]);
  });
});

test('files may hold any name', () => {
  const warnings: string[] = [];
  const json = JSON.parse(readFileSync('test/golden/sd1/model/scheduler/scheduler_config.json', 'utf8'));
  const made = DDIMScheduler.fromConfig({ ...json, of_another_time: 1 }, {}, { onWarning: w => warnings.push(w) });
  expect(made.config.stepsOffset).toBe(json.steps_offset);
  expect(warnings).toHaveLength(1);
  expect(() => new Generator(0)).not.toThrow();
});
