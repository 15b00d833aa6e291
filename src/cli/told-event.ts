/** What a command tells of its work: what models and the guide tell, and that a text is written of which no more is known. */
import type { GuideEvent, GuidePhase } from '../pipeline/guide/guide-arguments.ts';

/** A phase of the guide, or a text. */
export type ToldPhase = GuidePhase | 'write';

/** A phase that has begun, or a finished piece of it. */
export interface ToldEvent extends Omit<GuideEvent, 'phase'> {
  readonly phase: ToldPhase;
}
