/** What the pipelines that make pictures have in common: what loads their part, and the face that they show. */
import { loadPart } from '../../core/load-part.ts';
import { StableDiffusionModel } from '../diffusion/stable-diffusion-model.ts';
import type { GenerationModel } from './generation-model.ts';
import type { PipelineScheduler } from './schedulers.ts';

/** What makes pictures, loaded when a model is opened. */
export const loadGeneration = () => loadPart('what makes pictures', () => import('./generation-model.ts'));

/** A pipeline that makes pictures. One call at a time; several pipelines may share a model. */
export abstract class GenerationPipeline extends StableDiffusionModel {
  /** What denoises; frozen, and changed by no call. */
  readonly scheduler: PipelineScheduler;

  protected constructor({ shared, scheduler }: GenerationModel) {
    super(shared);
    this.scheduler = scheduler;
  }
}
