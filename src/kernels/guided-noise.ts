import type { Storage } from './kernel.ts';

export interface GuidedNoiseProblem {
  readonly storage: Storage;
}
