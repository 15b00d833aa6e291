/** What a command tells of its work: what models and the guide tell, that a text is written of which no more is known, and how tuning goes on. */
import type { GuideEvent, GuidePhase } from '../pipeline/guide/guide-arguments.ts';

/** A phase of the guide, a text, or choices of kernels. */
export type ToldPhase = GuidePhase | 'write' | 'tune';

/** A phase that has begun, or a finished piece of it. */
export interface ToldEvent extends Omit<GuideEvent, 'phase'> {
  readonly phase: ToldPhase;
  /** On what it works now, for a bar to show. */
  readonly what?: string | undefined;
}
