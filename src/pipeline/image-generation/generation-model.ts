/**
 * What makes pictures behind TextToImagePipeline, ImageToImagePipeline and InpaintPipeline. In a file of its own, so that a page loads it, and
 * networks and kernels with it, when it opens a model.
 */
import { InputError, ShapeError } from '../../core/errors.ts';
import { checkNames } from '../../core/known-names.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import { heedSignal } from '../../io/heed-signal.ts';
import type { RgbImage } from '../../io/image.ts';
import type { NumericArray } from '../../io/mask.ts';
import type { PictureInput } from '../../io/preprocess.ts';
import type { CallPlanOptions } from '../diffusion/call-planner.ts';
import type { EncodePromptOptions, PromptEmbeddings } from '../diffusion/encode-prompt-types.ts';
import { generatorOf, standIn } from '../diffusion/generators.ts';
import { isDrawn, latentSides, preparePictures } from '../diffusion/image-latents.ts';
import { openModel } from '../diffusion/open-model.ts';
import { toOutput } from '../diffusion/output.ts';
import type { PlannedCall, SavingsPlan } from '../diffusion/planned-call.ts';
import type { Prompt } from '../diffusion/prompt-arguments.ts';
import { repeatRows } from '../diffusion/rows.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import { SharedModel } from '../diffusion/shared-model.ts';
import { openSingleFile } from '../diffusion/single-file.ts';
import type { SingleFileSource } from '../diffusion/single-file-options.ts';
import { openStableDiffusionFolder, type StableDiffusionFolder } from '../diffusion/stable-diffusion-folder.ts';
import { refuseVariant, SINGLE_FILE_OPTIONS } from '../diffusion/stable-diffusion-options.ts';
import { asArray } from '../runtime/device-call.ts';
import { withoutSteps } from '../runtime/drain.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import { warner } from '../runtime/model-options.ts';
import { CALL_OPTIONS, type CallOptions } from '../runtime/progress.ts';
import { readJson } from '../runtime/read-json.ts';
import type { ArgumentsOf, Kind } from './arguments.ts';
import { generation } from './generation-phase.ts';
import { plannedGeneration } from './plan-request.ts';
import {
  type GenerationFileOptions,
  type GenerationOptions,
  OWN_OPTIONS,
  PIPELINE_OPTIONS,
  type PipelineOptions,
} from './pretrained-options.ts';
import type { GenerationRequest } from './request.ts';
import { checkScheduler, corrected, folderScheduler, type PipelineScheduler } from './schedulers.ts';
import { checkNumbersOf, OP, type RequestHome } from './settle.ts';
import { encodeRequest } from './settle-encode.ts';
import { imageRequest } from './settle-image.ts';
import { inpaintRequest } from './settle-inpaint.ts';
import { textRequest } from './settle-text.ts';
import type { GenerationArgs, GenerationOutput } from './types.ts';

const CLASS_NAMES: Readonly<Record<Kind, string>> = {
  text: 'TextToImagePipeline',
  image: 'ImageToImagePipeline',
  inpaint: 'InpaintPipeline',
};

/** Parts of other pipelines, as an index lists them. */
const REFUSED: Readonly<Record<string, string>> = {
  ...{ controlnet: 'ControlNet', adapter: 'a T2I adapter', prior: 'a prior' },
  ...{ prior_unet: 'a prior', prior_prior: 'a prior', image_normalizer: 'unCLIP', image_noising_scheduler: 'unCLIP' },
  low_res_scheduler: 'upscaling',
  depth_estimator: 'depth to image',
};

const REQUESTS: { readonly [K in Kind]: (args: ArgumentsOf[K], home: RequestHome) => GenerationRequest } = {
  text: textRequest,
  image: imageRequest,
  inpaint: inpaintRequest,
};

/** The model of a folder. @throws as the pipelines' fromPretrained */
export async function modelOfFolder(
  kind: Kind,
  source: FolderSource,
  options: GenerationOptions,
): Promise<GenerationModel> {
  const op = `${CLASS_NAMES[kind]}.fromPretrained`;
  return open(kind, op, options, OWN_OPTIONS, () =>
    heedSignal(source, options.signal, folder => openFolder(kind, op, folder, options)),
  );
}

/** The model of a single file. @throws as the pipelines' fromSingleFile */
export async function modelOfFile(
  kind: Kind,
  source: SingleFileSource,
  options: GenerationFileOptions,
): Promise<GenerationModel> {
  const op = `${CLASS_NAMES[kind]}.fromSingleFile`;
  return open(kind, op, options, [...OWN_OPTIONS, ...SINGLE_FILE_OPTIONS], async () => {
    refuseVariant(op, options);
    options.signal?.throwIfAborted();
    const { tokenizer, config, originalConfig, predictionType, extractEma } = options;
    const own = { tokenizer, config, originalConfig, predictionType, extractEma, onWarning: warner(options) };
    const file = await openSingleFile(source, own);
    try {
      return await openFolder(kind, op, file.folder, options);
    } finally {
      await file.close();
    }
  });
}

/** The model of another pipeline. @throws InputError where UNet or scheduler do not fit */
export function modelOver(kind: Kind, shared: object, given: object, options: PipelineOptions = {}): GenerationModel {
  const op = `as(${CLASS_NAMES[kind]})`;
  if (!(shared instanceof SharedModel)) {
    const [problem, fix] = ['not a model that is open', `Write await pipeline.as(${CLASS_NAMES[kind]}).`];
    throw new InputError({ op, problem, received: typeof shared, fix });
  }
  checkNames(op, options, PIPELINE_OPTIONS);
  const scheduler: unknown = options.scheduler ?? given;
  checkScheduler(op, scheduler);
  const { inChannels, outChannels } = shared.parts.denoiser.network.model.config;
  if (kind !== 'inpaint' && inChannels !== outChannels) {
    const [problem, fix] = ['the UNet also takes a mask and a masked picture', 'Only InpaintPipeline gives it these.'];
    throw new InputError({ op, problem, expected: outChannels, received: inChannels, fix });
  }
  return new GenerationModel(kind, shared, scheduler);
}

async function open(
  kind: Kind,
  op: string,
  options: GenerationOptions,
  ownOptions: readonly string[],
  openNetworks: () => Promise<StableDiffusionFolder<PipelineScheduler>>,
): Promise<GenerationModel> {
  const names = { op: CLASS_NAMES[kind], noun: 'pipeline', ownOptions };
  const opened = await openModel(op, names, options, openNetworks);
  return new GenerationModel(kind, new SharedModel(opened, warner(options)), opened.folder.schedulers);
}

async function openFolder(
  kind: Kind,
  op: string,
  folder: FolderSource,
  options: GenerationOptions,
): Promise<StableDiffusionFolder<PipelineScheduler>> {
  const { variant, scheduler } = options;
  const warn = warner(options);
  if (scheduler !== undefined) checkScheduler(op, scheduler);
  await refuseOthers(op, folder);
  const opened = await openStableDiffusionFolder(folder, {
    ...{ op, variant, warn, hasScheduler: scheduler !== undefined, inpaints: kind === 'inpaint' },
    openSchedulers: async configs => scheduler ?? folderScheduler(configs, warn),
  });
  return opened;
}

/** @throws InputError for a folder of a pipeline that is not built, by name */
async function refuseOthers(op: string, folder: FolderSource): Promise<void> {
  const index = 'model_index.json';
  const parts = await readJson(folder, index, op);
  const part = Object.keys(REFUSED).find(name => Array.isArray(parts[name]) && parts[name][1] !== null);
  if (part === undefined) return refuseGuidanceEmbedding(op, folder);
  const [problem, fix] = [
    `${REFUSED[part]} is not built`,
    'Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.',
  ];
  throw new InputError({ op, problem, received: part, path: `${folder.label}/${index}`, fix });
}

/** Distilled UNets that are told the guidance scale. @throws InputError */
async function refuseGuidanceEmbedding(op: string, folder: FolderSource): Promise<void> {
  const path = 'unet/config.json';
  if (!(await folder.has(path))) return;
  const { time_cond_proj_dim: width } = await readJson(folder, path, op);
  if (width === undefined || width === null) return;
  const problem = 'a UNet that is told the guidance scale is not built';
  const fix = 'Use the model that it was distilled from, with its LCM-LoRA.';
  throw new InputError({ op, problem, received: `time_cond_proj_dim ${width}`, path: `${folder.label}/${path}`, fix });
}

/** An opened model and its sampler. */
export class GenerationModel {
  /** What it has in common with other pipelines. */
  readonly shared: SharedModel;
  /** What denoises. */
  readonly scheduler: PipelineScheduler;
  readonly #kind: Kind;

  constructor(kind: Kind, shared: SharedModel, scheduler: PipelineScheduler) {
    this.shared = shared;
    this.scheduler = corrected(scheduler, kind, shared.parts.warn);
    this.#kind = kind;
  }

  /** `encodePrompt` */
  encodePrompt(prompt: Prompt, options: EncodePromptOptions): Promise<PromptEmbeddings> {
    const { device, parts, planner, loras } = this.shared;
    return device.call('encodePrompt', options, async call => {
      const { prompts, copies } = encodeRequest(prompt, options, { model: parts, adapters: () => loras.active });
      await planner.prepareText('encodePrompt', call, prompts);
      const { positive, negative } = await parts.prompts.encode(call, prompts);
      const many = (embeds: NdArray): NdArray => repeatRows(embeds, copies);
      return { promptEmbeds: many(positive), negativePromptEmbeds: many(negative as NdArray) };
    });
  }

  /** `encodeImages` */
  encodeImages(image: PictureInput, options: CallOptions): Promise<NdArray> {
    const { device, parts, planner } = this.shared;
    const op = 'encodeImages';
    checkNames(op, options, CALL_OPTIONS);
    const { autoencoder } = parts;
    const pictures = preparePictures(op, image, autoencoder, parts.warn);
    if (!isDrawn(pictures, autoencoder)) {
      const [problem, expected] = ['latents in place of pictures', 'pictures, or [N, 3, H, W]'];
      throw new ShapeError({ op, problem, expected, received: pictures.shape, path: 'image' });
    }
    const planned: PlannedCall = {
      ...{ key: [op, pictures.shape], networks: ['vae'], sides: latentSides(pictures, autoencoder) },
      work: (dry, model) => withoutSteps(async () => (await model.autoencoder.encode(dry, pictures)).read()),
    };
    return device.call(op, options, async call => {
      await planner.preparePart(op, call, planned);
      const moments = await autoencoder.encode(call, pictures);
      call.endPhase();
      return meansOf(asArray(await moments.read(), moments.shape), autoencoder.scalingFactor);
    });
  }

  /** `decodeLatents` */
  decodeLatents(latents: NumericArray, options: CallOptions): Promise<RgbImage[]> {
    const { device, parts, planner } = this.shared;
    const op = 'decodeLatents';
    checkNames(op, options, CALL_OPTIONS);
    const given = checkedLatents(op, latents, parts.autoencoder.network.model.config.latentChannels);
    const planned: PlannedCall = {
      ...{ key: [op, given.shape], networks: ['vae'], pictures: dim(given.shape, 0), sides: given.shape.slice(2) },
      work: (dry, model) => withoutSteps(() => toOutput(dry, model, given, 'np')),
    };
    return device.call(op, options, async call => {
      await planner.preparePart(op, call, planned);
      const images = await toOutput(call, parts, given, 'pil');
      call.endPhase();
      return images as RgbImage[];
    });
  }

  /** `generate`, step by step. */
  steps(args: GenerationArgs): AsyncGenerator<StepEvent, GenerationOutput> {
    const { device, parts, planner } = this.shared;
    let settled: GenerationRequest | undefined; // once: work that is done again draws from the same random streams
    const settle = (): GenerationRequest => this.#request(args);
    return device.steps(OP, args, async function* (call) {
      settled ??= settle();
      await planner.prepare(OP, call, plannedGeneration(settled));
      const images: RgbImage[] | NdArray = yield* generation(call, parts, settled);
      return { images, nsfwContentDetected: undefined };
    });
  }

  /** `plan` */
  async plan(args: GenerationArgs, options: CallPlanOptions): Promise<CallPlan> {
    return this.shared.planner.plan(args, options, () => this.#planned(args));
  }

  /** `planSavings` */
  async planSavings(args: GenerationArgs, options: CallPlanOptions): Promise<SavingsPlan[]> {
    return this.shared.planner.savings(args, options, () => this.#planned(args));
  }

  /** Nothing is drawn from the caller's generators. */
  #planned(args: GenerationArgs): PlannedCall {
    return plannedGeneration(this.#request({ ...args, generator: standIn(generatorOf(OP, args)) }));
  }

  /** @throws InputError or ShapeError for arguments that make no sense */
  #request(args: GenerationArgs): GenerationRequest {
    const { parts, loras } = this.shared;
    const request = REQUESTS[this.#kind] as (args: GenerationArgs, home: RequestHome) => GenerationRequest;
    return request(args, { model: parts, scheduler: this.scheduler, adapters: () => loras.active });
  }
}

/** The first half of moments [N, 2C, h, w], as the UNet has latents. */
function meansOf({ data, shape }: NdArray, scaling: number): NdArray {
  const [count, channels] = [dim(shape, 0), dim(shape, 1) / 2];
  const one = channels * dim(shape, 2) * dim(shape, 3);
  const means = new Float32Array(count * one);
  for (let i = 0; i < means.length; i++) means[i] = (data[Math.floor(i / one) * 2 * one + (i % one)] ?? 0) * scaling;
  return ndarray(means, [count, channels, ...shape.slice(2)]);
}

/** @throws ShapeError for what are no latents; InputError for values that are not finite */
function checkedLatents(op: string, latents: NumericArray, channels: number): NdArray {
  const { data, shape = [] } = Object(latents) as Partial<NumericArray>;
  const size = shape.reduce((a, b) => a * b, 1);
  if (data && shape.length === 4 && shape[1] === channels && size > 0 && data.length === size) {
    checkNumbersOf(op, data, 'latents');
    return ndarray(Float32Array.from(data), shape);
  }
  const expected = `[N, ${channels}, h, w]`;
  throw new ShapeError({ op, problem: 'not latents', expected, received: shape, path: 'latents' });
}
