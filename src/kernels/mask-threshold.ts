import type { Storage } from './kernel.ts';

export interface MaskThresholdProblem {
  readonly storage: Storage;
}
