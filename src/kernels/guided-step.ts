import type { Storage } from './kernel.ts';

export interface GuidedStepProblem {
  readonly storage: Storage;
}
