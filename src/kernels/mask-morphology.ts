import type { Storage } from './kernel.ts';

export interface MaskMorphologyProblem {
  readonly storage: Storage;
}
