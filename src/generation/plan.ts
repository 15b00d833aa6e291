/** Everything that one call needs to know, settled before the first step. */

import { InputError } from '../core/errors.ts';
import { checkNames, nearestName } from '../core/known-names.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import { Generator } from '../schedulers/generator.ts';
import type { Sequences } from './decoder.ts';
import type { LogitsProcessor } from './processor.ts';
import { buildProcessors } from './processors.ts';
import { checkRefused, refusedNames } from './refused.ts';
import { type GenerationDefaults, type GenerationSettings, idList, mergeSettings, settingNames } from './settings.ts';
import { endsAfter, endsAt, endsWithText, type StoppingCriterion } from './stopping.ts';
import type { GenerateOptions, GenerationInputs, TokenEvent } from './types.ts';

/** New ids where neither a file nor the caller says how many. */
const DEFAULT_LENGTH = 20;

const CALL_OPTIONS = [
  'generator',
  'signal',
  'onToken',
  'logitsProcessor',
  'stoppingCriteria',
  'prefixAllowedTokensFn',
  'tokenText',
];

/** One call, settled. */
export interface GenerationPlan {
  readonly settings: GenerationSettings;
  /** [rows] ids: each input's prompt as often as it has beams or returned sequences. */
  readonly prompt: Sequences;
  readonly inputs: number;
  readonly promptLength: number;
  /** Longest sequence, the prompt included. */
  readonly maxLength: number;
  readonly eosIds: readonly number[];
  /** Fills finished rows; null where there is no end id. */
  readonly padId: number | null;
  readonly processors: readonly LogitsProcessor[];
  /** Whether a sequence is done. */
  readonly isDone: StoppingCriterion;
  readonly generator: Generator;
  readonly signal: AbortSignalLike | undefined;
  readonly onToken: ((event: TokenEvent) => void) | undefined;
}

/**
 * Merges the settings and checks them against each other and against the task.
 * @throws InputError for anything unknown, refused or contradictory
 */
export function planGeneration(task: GenerationInputs, options: GenerateOptions): GenerationPlan {
  checkArguments(options);
  const settings = mergeSettings(task.defaults ?? {}, options as GenerationDefaults);
  checkTogether(settings, options);
  checkBeams(settings.numBeams, task.maxBeams);
  const inputPrompts = promptsOf(task, settings);
  const promptLength = inputPrompts[0]?.length ?? 0;
  const maxLength = maxLengthOf(task, settings, options, promptLength);
  const eosIds = idList(settings.eosTokenId);
  const copies = Math.max(settings.numBeams, settings.numReturnSequences);
  const { logitsProcessor, prefixAllowedTokensFn } = options;
  const context = {
    promptLength,
    maxLength,
    encoderIds: task.encoderIds ?? inputPrompts,
    logitsProcessor,
    prefixAllowedTokensFn,
  };
  return {
    settings,
    prompt: inputPrompts.flatMap(ids => Array.from({ length: copies }, () => ids)),
    inputs: task.inputs,
    promptLength,
    maxLength,
    eosIds,
    padId: eosIds.length > 0 ? (settings.padTokenId ?? eosIds[0] ?? null) : null,
    processors: buildProcessors(settings, context),
    isDone: stoppingRule(settings, options, maxLength, eosIds),
    generator: options.generator ?? freshGenerator(),
    signal: options.signal,
    onToken: options.onToken,
  };
}

function checkArguments(options: GenerateOptions): void {
  for (const [name, value] of Object.entries(options)) checkRefused(name, value);
  const offered = [...settingNames(), ...CALL_OPTIONS];
  checkNames('generate', options, [...offered, ...refusedNames()], name => {
    const near = nearestName(name, offered);
    return near === undefined ? 'docs/parity-generate.md lists all of them.' : `Write ${near}.`;
  });
}

function checkTogether(s: GenerationSettings, options: GenerateOptions): void {
  if (s.numReturnSequences > 1 && s.numBeams === 1 && !s.doSample) {
    throw new InputError({
      op: 'generate',
      problem: 'the greedy choice gives one sequence',
      received: s.numReturnSequences,
      path: 'numReturnSequences',
      fix: 'Set doSample, or numBeams to at least as many.',
    });
  }
  if (s.numBeams > 1 && s.numReturnSequences > s.numBeams) {
    throw new InputError({
      op: 'generate',
      problem: 'more sequences than beams',
      expected: `at most ${s.numBeams}`,
      received: s.numReturnSequences,
      path: 'numReturnSequences',
      fix: 'Raise numBeams.',
    });
  }
  if (s.doSample && s.temperature === 0) {
    throw new InputError({
      op: 'generate',
      problem: 'no number can be divided by a temperature of 0',
      received: 0,
      path: 'temperature',
      fix: 'Set doSample to false for the likeliest token.',
    });
  }
  if (s.numBeams > 1 && options.onToken) {
    throw new InputError({
      op: 'generate',
      problem: 'beams are not known token by token',
      received: `numBeams ${s.numBeams}`,
      path: 'onToken',
      fix: 'Leave onToken out, or set numBeams to 1.',
    });
  }
}

function checkBeams(beams: number, most: number = Number.POSITIVE_INFINITY): void {
  if (beams <= most) return;
  const [expected, fix] = [`at most ${most}`, 'Lower numBeams.'];
  throw new InputError({
    op: 'generate',
    problem: 'more beams than the decoder holds',
    expected,
    received: beams,
    path: 'numBeams',
    fix,
  });
}

/** The ids that each input's text begins with. */
function promptsOf(task: GenerationInputs, s: GenerationSettings): Sequences {
  const { prompt, inputs } = task;
  const starts = startIds(task, s);
  if (!prompt) {
    if (starts.length === inputs) return starts.map(id => [id]);
    throw new InputError({
      op: 'generate',
      problem: 'no id begins the text',
      expected: `one id, or ${inputs}`,
      received: starts,
      path: 'decoderStartTokenId',
      fix: 'Give decoderStartTokenId (bosTokenId for a decoder alone), or a prompt.',
    });
  }
  const [first] = prompt;
  if (!first || first.length === 0 || prompt.length !== inputs || prompt.some(ids => ids.length !== first.length)) {
    throw new InputError({
      op: 'generate',
      problem: 'the prompts do not fit together',
      expected: `${inputs} rows of equal length, at least one id`,
      received: prompt.map(ids => ids.length),
      path: 'prompt',
      fix: 'Give prompts of different lengths in calls of their own.',
    });
  }
  // As transformers: a prompt that nowhere begins with its start id gets it put in front.
  const lacksStart = task.encoderDecoder && starts.length === inputs && prompt.every((ids, i) => ids[0] !== starts[i]);
  return lacksStart ? prompt.map((ids, i) => [...starts.slice(i, i + 1), ...ids]) : prompt;
}

function startIds(task: GenerationInputs, s: GenerationSettings): readonly number[] {
  const start = task.encoderDecoder ? (s.decoderStartTokenId ?? s.bosTokenId) : s.bosTokenId;
  return typeof start === 'number' ? new Array<number>(task.inputs).fill(start) : idList(start);
}

function maxLengthOf(task: GenerationInputs, s: GenerationSettings, options: GenerateOptions, prompt: number): number {
  const { maxPositions = Number.POSITIVE_INFINITY } = task;
  if (prompt > maxPositions) {
    throw new InputError({
      op: 'generate',
      problem: 'the prompt is longer than the model can read',
      expected: `at most ${maxPositions} ids`,
      received: prompt,
      path: 'prompt',
      fix: 'Give a shorter one.',
    });
  }
  const byDefault = (options.maxLength ?? null) === null;
  let length = s.maxLength;
  if (s.maxNewTokens !== null) length = prompt + s.maxNewTokens;
  else if (byDefault && length === DEFAULT_LENGTH) {
    length = Math.min(prompt + DEFAULT_LENGTH, maxPositions);
  }
  if (length !== null && length > prompt) return length;
  throw new InputError({
    op: 'generate',
    problem: 'no room for a new id',
    expected: `more than the prompt’s ${prompt} ids`,
    received: length,
    path: 'maxLength',
    fix: 'Raise maxLength, or give maxNewTokens.',
  });
}

function stoppingRule(
  s: GenerationSettings,
  options: GenerateOptions,
  maxLength: number,
  eosIds: readonly number[],
): StoppingCriterion {
  const rules: StoppingCriterion[] = [ids => ids.length >= maxLength, ...(options.stoppingCriteria ?? [])];
  if (s.maxTime !== null) rules.push(endsAfter(s.maxTime));
  const stops = typeof s.stopStrings === 'string' ? [s.stopStrings] : (s.stopStrings ?? []);
  if (stops.length > 0) {
    if (!options.tokenText) {
      throw new InputError({
        op: 'generate',
        problem: 'stop strings need the text of tokens',
        received: stops,
        path: 'stopStrings',
        fix: 'Give tokenText: tokenTextOf(tokenizer).',
      });
    }
    rules.push(endsWithText(stops, options.tokenText));
  }
  if (eosIds.length > 0) rules.push(endsAt(eosIds));
  return ids => rules.some(done => done(ids));
}

function freshGenerator(): Generator {
  const generator = new Generator();
  generator.seed();
  return generator;
}
