import type { Storage } from './kernel.ts';

export interface AddNoiseProblem {
  readonly storage: Storage;
}
