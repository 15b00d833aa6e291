/** Captioner and language model in a worker. */
import type { NdArray } from '../core/ndarray.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import type { Caps } from '../gpu/caps.ts';
import type { Picture } from '../io/preprocess.ts';
import type { CallPlan } from '../pipeline/runtime/memory-plan.ts';
import type { CallOptions } from '../pipeline/runtime/progress.ts';
import type { Caption, CaptionerOptions, CaptionInput, CaptionOptions, CaptionOutput } from '../pipeline/text/blip.ts';
import type { T5GenerateOptions, T5Input, T5Options, T5Output } from '../pipeline/text/t5.ts';
import { startWorker } from './start.ts';
import { type InWorker, type Opened, openInWorker, WorkerModel } from './worker-model.ts';

/** What the page knows of either without asking. */
interface TextFacts {
  readonly caps: Caps;
  readonly dtype: 'float32' | 'float16';
}

/**
 * Opens a captioner in a worker: `BlipForConditionalGeneration.fromPretrained`, told from afar. `worker` shares one with a pipeline.
 * @throws as fromPretrained, errors of the same class; DeviceError for a worker that does not start
 */
export async function createWorkerCaptioner(
  source: FolderSource,
  options: InWorker<CaptionerOptions> = {},
): Promise<WorkerCaptioner> {
  return new WorkerCaptioner(await openInWorker('createWorkerCaptioner', 'captioner', source, options, startWorker));
}

/**
 * Opens a language model in a worker: `T5ForConditionalGeneration.fromPretrained`, told from afar. `worker` shares one with a pipeline.
 * @throws as fromPretrained, errors of the same class; DeviceError for a worker that does not start
 */
export async function createWorkerLanguageModel(
  source: FolderSource,
  options: InWorker<T5Options> = {},
): Promise<WorkerLanguageModel> {
  const op = 'createWorkerLanguageModel';
  return new WorkerLanguageModel(await openInWorker(op, 'language-model', source, options, startWorker));
}

/** A captioner in a worker, which `caption` of `pentimento` takes. Functions that must answer at once are refused. */
export class WorkerCaptioner extends WorkerModel {
  /** @internal */
  constructor(opened: Opened<TextFacts>) {
    super(opened);
  }

  /** Writes a caption of one picture. @throws as BlipForConditionalGeneration.caption */
  caption(image: Picture, prefix?: string, options: CaptionOptions = {}): Promise<Caption> {
    return this.call('caption', [image, prefix, options]);
  }

  /** Writes captions. @throws as BlipForConditionalGeneration.generate */
  generate(input: Picture | readonly Picture[] | CaptionInput, options: CaptionOptions = {}): Promise<CaptionOutput> {
    return this.call('generate', [input, options]);
  }

  /** What `generate` would take. @throws as BlipForConditionalGeneration.plan */
  plan(input: Picture | readonly Picture[] | CaptionInput, options: CaptionOptions = {}): Promise<CallPlan> {
    return this.call('plan', [input, options]);
  }
}

/** A language model in a worker, which `generatePrompts` of `pentimento` takes. Functions that must answer at once are refused. */
export class WorkerLanguageModel extends WorkerModel {
  /** @internal */
  constructor(opened: Opened<TextFacts>) {
    super(opened);
  }

  /** Answers texts. @throws as T5ForConditionalGeneration.generate */
  generate(input: string | readonly string[] | T5Input, options: T5GenerateOptions = {}): Promise<T5Output> {
    return this.call('generate', [input, options]);
  }

  /** What `generate` would take. @throws as T5ForConditionalGeneration.plan */
  plan(input: string | readonly string[] | T5Input, options: T5GenerateOptions = {}): Promise<CallPlan> {
    return this.call('plan', [input, options]);
  }

  /** Last hidden states of the encoder, [N, S, D]. @throws as T5ForConditionalGeneration.encode */
  encode(input: string | readonly string[] | T5Input, options: CallOptions = {}): Promise<NdArray> {
    return this.call('encode', [input, options]);
  }
}
