import type { Storage } from './kernel.ts';

export interface FillProblem {
  readonly storage: Storage;
}
