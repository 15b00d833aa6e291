/** The pipelines that make pictures, on the page's side of a worker. */
import type { NdArray } from '../core/ndarray.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import type { RgbImage } from '../io/image.ts';
import type { NumericArray } from '../io/mask.ts';
import type { PictureInput } from '../io/preprocess.ts';
import type { CallPlanOptions } from '../pipeline/diffusion/call-planner.ts';
import type { SavingsPlan } from '../pipeline/diffusion/planned-call.ts';
import type { StepEvent } from '../pipeline/diffusion/sampling-loop.ts';
import type { SingleFileSource } from '../pipeline/diffusion/single-file-options.ts';
import type {
  GenerationFileOptions,
  GenerationOptions,
  PipelineOptions,
} from '../pipeline/image-generation/pretrained-options.ts';
import type {
  AsImages,
  GenerationOutput,
  ImageToImageArgs,
  InpaintArgs,
  TextToImageArgs,
} from '../pipeline/image-generation/types.ts';
import type { CallPlan } from '../pipeline/runtime/memory-plan.ts';
import type { CallOptions } from '../pipeline/runtime/progress.ts';
import { startWorker } from './start.ts';
import { type InWorker, openInWorker } from './worker-model.ts';
import { faceOf, seenFromWorker, WorkerStableDiffusion } from './worker-stable-diffusion.ts';

/** A pipeline that makes pictures, in a worker. One call at a time; the page stays free meanwhile. */
export abstract class WorkerGeneration<Args> extends WorkerStableDiffusion {
  /** Makes pictures. @throws as `generate` of the pipeline in a page */
  generate(args: Args & AsImages): Promise<GenerationOutput<RgbImage[]>>;
  generate(args: Args): Promise<GenerationOutput>;
  generate(args: Args): Promise<GenerationOutput> {
    return this.call('generate', [args]);
  }

  /** `generate` step by step. Leaving the loop early frees everything. */
  generateSteps(args: Args): AsyncGenerator<StepEvent, GenerationOutput> {
    return this.steps('generateSteps', [args]);
  }

  /** What `generate` would take, known before it. @throws as `plan` of the pipeline in a page */
  plan(args: Args, options: CallPlanOptions = {}): Promise<CallPlan> {
    return this.call('plan', [args, options]);
  }

  /** What `generate` would take with each way to save memory. @throws as `planSavings` of the pipeline in a page */
  planSavings(args: Args, options: CallPlanOptions = {}): Promise<SavingsPlan[]> {
    return this.call('planSavings', [args, options]);
  }

  /** Latents of pictures, [M, 4, h, w]. @throws as `encodeImages` of the pipeline in a page */
  encodeImages(image: PictureInput, options: CallOptions = {}): Promise<NdArray> {
    return this.call('encodeImages', [image, options]);
  }

  /** Pictures of latents [N, 4, h, w]. @throws as `decodeLatents` of the pipeline in a page */
  decodeLatents(latents: NumericArray, options: CallOptions = {}): Promise<RgbImage[]> {
    return this.call('decodeLatents', [latents, options]);
  }
}

/** TextToImagePipeline in a worker: the same methods and arguments; those that answer at once there are promises here. */
export class WorkerTextToImagePipeline extends WorkerGeneration<TextToImageArgs> {
  /**
   * Opens a model folder in a worker: `TextToImagePipeline.fromPretrained`, told from afar.
   * @param source as for createWorkerPipeline
   * @param options those of fromPretrained but `gpu`; functions are called in the page
   * @throws as fromPretrained, errors of the same class; DeviceError for a worker that does not start
   */
  static async fromPretrained(
    source: FolderSource,
    options: InWorker<GenerationOptions> = {},
  ): Promise<WorkerTextToImagePipeline> {
    const op = 'WorkerTextToImagePipeline.fromPretrained';
    return new WorkerTextToImagePipeline(await openInWorker(op, 'text', source, options, startWorker));
  }

  /**
   * Opens a checkpoint in one file in a worker: `TextToImagePipeline.fromSingleFile`, told from afar.
   * @param source as for createWorkerPipelineFromSingleFile
   * @throws as fromSingleFile
   */
  static async fromSingleFile(
    source: SingleFileSource,
    options: InWorker<GenerationFileOptions> = {},
  ): Promise<WorkerTextToImagePipeline> {
    const op = 'WorkerTextToImagePipeline.fromSingleFile';
    return new WorkerTextToImagePipeline(
      await openInWorker(op, 'text-file', seenFromWorker(source), options, startWorker),
    );
  }

  /** What `as(WorkerTextToImagePipeline)` of another pipeline makes. @throws as `as` */
  static async over(open: object, options?: PipelineOptions): Promise<WorkerTextToImagePipeline> {
    return new WorkerTextToImagePipeline(await faceOf(open, 'text', options));
  }
}

/** ImageToImagePipeline in a worker: the same methods and arguments; those that answer at once there are promises here. */
export class WorkerImageToImagePipeline extends WorkerGeneration<ImageToImageArgs> {
  /**
   * Opens a model folder in a worker: `ImageToImagePipeline.fromPretrained`, told from afar.
   * @param source as for createWorkerPipeline
   * @param options those of fromPretrained but `gpu`; functions are called in the page
   * @throws as fromPretrained, errors of the same class; DeviceError for a worker that does not start
   */
  static async fromPretrained(
    source: FolderSource,
    options: InWorker<GenerationOptions> = {},
  ): Promise<WorkerImageToImagePipeline> {
    const op = 'WorkerImageToImagePipeline.fromPretrained';
    return new WorkerImageToImagePipeline(await openInWorker(op, 'image', source, options, startWorker));
  }

  /**
   * Opens a checkpoint in one file in a worker: `ImageToImagePipeline.fromSingleFile`, told from afar.
   * @param source as for createWorkerPipelineFromSingleFile
   * @throws as fromSingleFile
   */
  static async fromSingleFile(
    source: SingleFileSource,
    options: InWorker<GenerationFileOptions> = {},
  ): Promise<WorkerImageToImagePipeline> {
    const op = 'WorkerImageToImagePipeline.fromSingleFile';
    return new WorkerImageToImagePipeline(
      await openInWorker(op, 'image-file', seenFromWorker(source), options, startWorker),
    );
  }

  /** What `as(WorkerImageToImagePipeline)` of another pipeline makes. @throws as `as` */
  static async over(open: object, options?: PipelineOptions): Promise<WorkerImageToImagePipeline> {
    return new WorkerImageToImagePipeline(await faceOf(open, 'image', options));
  }
}

/** InpaintPipeline in a worker: the same methods and arguments; those that answer at once there are promises here. */
export class WorkerInpaintPipeline extends WorkerGeneration<InpaintArgs> {
  /**
   * Opens a model folder in a worker: `InpaintPipeline.fromPretrained`, told from afar.
   * @param source as for createWorkerPipeline
   * @param options those of fromPretrained but `gpu`; functions are called in the page
   * @throws as fromPretrained, errors of the same class; DeviceError for a worker that does not start
   */
  static async fromPretrained(
    source: FolderSource,
    options: InWorker<GenerationOptions> = {},
  ): Promise<WorkerInpaintPipeline> {
    const op = 'WorkerInpaintPipeline.fromPretrained';
    return new WorkerInpaintPipeline(await openInWorker(op, 'inpaint', source, options, startWorker));
  }

  /**
   * Opens a checkpoint in one file in a worker: `InpaintPipeline.fromSingleFile`, told from afar.
   * @param source as for createWorkerPipelineFromSingleFile
   * @throws as fromSingleFile
   */
  static async fromSingleFile(
    source: SingleFileSource,
    options: InWorker<GenerationFileOptions> = {},
  ): Promise<WorkerInpaintPipeline> {
    const op = 'WorkerInpaintPipeline.fromSingleFile';
    return new WorkerInpaintPipeline(
      await openInWorker(op, 'inpaint-file', seenFromWorker(source), options, startWorker),
    );
  }

  /** What `as(WorkerInpaintPipeline)` of another pipeline makes. @throws as `as` */
  static async over(open: object, options?: PipelineOptions): Promise<WorkerInpaintPipeline> {
    return new WorkerInpaintPipeline(await faceOf(open, 'inpaint', options));
  }
}
