import type { Storage } from './kernel.ts';

export interface MaskMapProblem {
  readonly storage: Storage;
}
