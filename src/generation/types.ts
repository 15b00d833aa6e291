/** What generation is given and what it returns. */
import type { AbortSignalLike } from '../core/platform.ts';
import type { Generator } from '../schedulers/generator.ts';
import type { Sequences, StartDecoder } from './decoder.ts';
import type { LogitsProcessor } from './processor.ts';
import type { PrefixAllowedTokens } from './processors.ts';
import type { GenerationDefaults, GenerationSettings } from './settings.ts';
import type { StoppingCriterion } from './stopping.ts';

/** What a text is written about, and by what: all that a call can be checked against before the model works. */
export interface GenerationInputs {
  /** Number of pictures or texts that the model reads. */
  readonly inputs: number;
  /** True for a decoder beside an encoder: texts then begin with `decoderStartTokenId`. */
  readonly encoderDecoder: boolean;
  /** [inputs] ids of equal length that the decoder begins with; the start id alone where absent. */
  readonly prompt?: Sequences;
  /** [inputs] ids of the encoder, padding included; the prompt where absent. */
  readonly encoderIds?: Sequences;
  /** Most positions of the decoder, for the default length; no bound where absent. */
  readonly maxPositions?: number;
  /** Most beams that the decoder reorders; no bound where absent. */
  readonly maxBeams?: number;
  /** The model's settings, see readGenerationDefaults. */
  readonly defaults?: GenerationDefaults;
}

/** One model with its inputs, ready to write. */
export interface GenerationTask extends GenerationInputs {
  readonly startDecoder: StartDecoder;
}

/** One id has been chosen. */
export interface TokenEvent {
  /** Sequence, as in the result. */
  readonly row: number;
  /** The id, below V. */
  readonly token: number;
  /** Its place in the sequence, the prompt included. */
  readonly position: number;
  /** Whether the sequence ends with it. */
  readonly done: boolean;
}

/** What one call may ask for: every setting, and the functions and objects that no file can hold. */
export type GenerateOptions = { readonly [K in keyof GenerationSettings]?: GenerationSettings[K] | undefined } & {
  /** torch's random stream: `new Generator(seed)` draws what torch draws after manual_seed(seed); fresh where absent. */
  readonly generator?: Generator | undefined;
  /** Ends the call between two steps with the signal's reason. */
  readonly signal?: AbortSignalLike | undefined;
  /** Called for each id of a sequence that is not done yet; not with beams. */
  readonly onToken?: ((event: TokenEvent) => void) | undefined;
  /** Own processors, after the ones that settings ask for and before those of sampling. */
  readonly logitsProcessor?: readonly LogitsProcessor[] | undefined;
  /** Own rules for the end of a sequence. */
  readonly stoppingCriteria?: readonly StoppingCriterion[] | undefined;
  /** The ids that may follow a sequence. Default: all. */
  readonly prefixAllowedTokensFn?: PrefixAllowedTokens | undefined;
  /** Text of one token inside a sentence, for stopStrings; see tokenTextOf. */
  readonly tokenText?: ((id: number) => string) | undefined;
};

/** The sequences, and what output settings asked for. */
export interface GenerateOutput {
  /** Prompt, new ids, padding; numReturnSequences for each input, one after the other. */
  readonly sequences: number[][];
  /** Beams: sum of log-probabilities over length^lengthPenalty, one for each sequence; with outputScores. */
  readonly sequencesScores?: readonly number[];
  /** Beams: the running row that each new id came from; one list for each sequence. */
  readonly beamIndices?: readonly (readonly number[])[];
  /** [steps] of [rows, V]: scores as processed, log-probabilities for beams; with outputScores. */
  readonly scores?: readonly Float32Array[];
  /** [steps] of [rows, V]: scores as the model gave them; with outputLogits. */
  readonly logits?: readonly Float32Array[];
}
