import type { Storage } from './kernel.ts';

export interface PosteriorSampleProblem {
  readonly storage: Storage;
}
