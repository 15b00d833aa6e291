import type { Storage } from './kernel.ts';

export interface ArgmaxProblem {
  readonly storage: Storage;
}
