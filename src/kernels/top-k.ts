import type { Storage } from './kernel.ts';

export interface TopKProblem {
  readonly storage: Storage;
}
