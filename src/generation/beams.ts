/**
 * Beam search: B running texts for each input, ranked by the sum of their log-probabilities, and the B best finished
 * ones, ranked by that sum over length^penalty. All sums are float32. Equal scores: the earlier candidate.
 */
import { InputError } from '../core/errors.ts';
import type { Generator } from '../schedulers/generator.ts';
import type { StepDecoder } from './decoder.ts';
import { logSoftmax, softmax, topIndices } from './numerics.ts';
import type { GenerationPlan } from './plan.ts';
import type { GenerateOutput } from './types.ts';

const f32 = Math.fround;
/** Pushes a text out of a ranking without the troubles of infinity. */
const OUT = f32(-1e9);

interface Text {
  readonly ids: readonly number[];
  /** For each new id the row that it continued. */
  readonly rows: readonly number[];
  readonly score: number;
  readonly done: boolean;
}

/** The texts of one input. */
interface Search {
  running: readonly Text[];
  finished: readonly Text[];
  /** False once no running text can beat the worst finished one. */
  open: boolean;
}

/**
 * Searches until no input can improve.
 * @param decoder with inputs x numBeams rows, its cache empty
 * @see transformers GenerationMixin._beam_search
 */
export async function beamSearch(decoder: StepDecoder, plan: GenerationPlan): Promise<GenerateOutput> {
  const { outputScores, outputLogits } = plan.settings;
  const searches = Array.from({ length: plan.inputs }, (_, i) => startSearch(plan, i));
  const record = { scores: [] as Float32Array[], logits: [] as Float32Array[] };
  let logits = await decoder.prefill(plan.prompt);
  for (;;) {
    plan.signal?.throwIfAborted();
    if (outputLogits) record.logits.push(logits.slice());
    const scores = processed(logits, searches, plan, decoder.vocab);
    if (outputScores) record.scores.push(scores);
    const candidates = candidatesOf(scores, searches, plan, decoder.vocab);
    searches.forEach((search, i) => {
      advance(search, candidates[i] ?? [], plan);
    });
    if (isOver(searches, candidates, plan)) break;
    const running = searches.flatMap(search => search.running);
    plan.signal?.throwIfAborted();
    logits = await decoder.step(
      running.map(text => text.ids[text.ids.length - 1] ?? 0),
      running.map(text => text.rows[text.rows.length - 1] ?? 0),
    );
  }
  const best = searches.flatMap(search => search.finished.slice(0, plan.settings.numReturnSequences));
  const length = plan.promptLength + Math.max(...best.map(text => text.rows.length));
  return {
    sequences: best.map(({ ids }) => [...ids, ...new Array<number>(length - ids.length).fill(fillId(plan))]),
    beamIndices: best.map(text => text.rows),
    ...(outputScores ? { sequencesScores: best.map(text => text.score), scores: record.scores } : {}),
    ...(outputLogits ? { logits: record.logits } : {}),
  };
}

/** All beams begin with the same ids, so only the first one counts at first. */
function startSearch(plan: GenerationPlan, input: number): Search {
  const { numBeams } = plan.settings;
  const beams = Array.from({ length: numBeams }, (_, b) => plan.prompt[input * numBeams + b] ?? []);
  const text = (ids: readonly number[], score: number): Text => ({ ids, rows: [], score, done: false });
  return {
    running: beams.map((ids, b) => text(ids, b === 0 ? 0 : OUT)),
    finished: beams.map(ids => text(ids, OUT)),
    open: true,
  };
}

/** Log-probabilities of the running texts' next ids after all processors, [rows, V]. */
function processed(
  logits: Float32Array,
  searches: readonly Search[],
  plan: GenerationPlan,
  vocab: number,
): Float32Array {
  const scores = new Float32Array(logits.length);
  for (let at = 0; at < logits.length; at += vocab) scores.set(logSoftmax(logits.subarray(at, at + vocab)), at);
  const sequences = searches.flatMap(search => search.running.map(text => text.ids));
  for (const process of plan.processors) process(scores, sequences);
  return scores;
}

/** The best continuations of each input, or drawn ones: enough that B of them go on even if the others end. */
function candidatesOf(
  scores: Float32Array,
  searches: readonly Search[],
  plan: GenerationPlan,
  vocab: number,
): Text[][] {
  const { numBeams, doSample } = plan.settings;
  const count = Math.max(2, 1 + plan.eosIds.length) * numBeams;
  const width = numBeams * vocab;
  if (count > width) throw tooFewIds(count, width);
  return searches.map((search, i) => {
    const sums = scores
      .slice(i * width, (i + 1) * width)
      .map((x, k) => x + (search.running[Math.floor(k / vocab)]?.score ?? 0));
    if (sums.some(Number.isNaN)) throw notANumber();
    const chosen = doSample ? drawWithoutReplacement(sums, count, plan.generator) : topIndices(sums, count);
    return chosen.map(index => {
      const beam = Math.floor(index / vocab);
      const from = search.running[beam];
      const ids = [...(from?.ids ?? []), index % vocab];
      return {
        ids,
        rows: [...(from?.rows ?? []), i * numBeams + beam],
        score: sums[index] ?? 0,
        done: plan.isDone(ids),
      };
    });
  });
}

/** Sorts candidates into running and finished texts. */
function advance(search: Search, candidates: readonly Text[], plan: GenerationPlan): void {
  const { numBeams, lengthPenalty, earlyStopping } = plan.settings;
  const newIds = (candidates[0]?.ids.length ?? 0) - plan.promptLength;
  const full = earlyStopping === true && search.finished.every(text => text.done);
  const ended = candidates.map((text, rank): Text => {
    // Only the first B candidates may end; the others stand by for texts that go on.
    const done = text.done && rank < numBeams;
    const mean = f32(text.score / f32(newIds ** lengthPenalty));
    return {
      ...text,
      done,
      score: [full, !search.open, !done].reduce((score, out) => (out ? f32(score + OUT) : score), mean),
    };
  });
  search.running = ranked(
    candidates.map(text => (text.done ? { ...text, score: f32(text.score + OUT) } : text)),
    numBeams,
  );
  search.finished = ranked([...search.finished, ...ended], numBeams);
  search.open &&= canImprove(search, newIds, plan);
}

/** Whether the best running text may still beat a finished one. */
function canImprove({ running, finished }: Search, newIds: number, plan: GenerationPlan): boolean {
  const { lengthPenalty, earlyStopping } = plan.settings;
  const longest = earlyStopping === 'never' && lengthPenalty > 0;
  const length = longest ? plan.maxLength - plan.promptLength : newIds;
  const best = f32((running[0]?.score ?? OUT) / f32(length ** lengthPenalty));
  const worst = finished.reduce((least, text) => Math.min(least, text.score), Number.POSITIVE_INFINITY);
  return finished.some(text => best > (text.done ? worst : OUT));
}

function isOver(searches: readonly Search[], candidates: readonly (readonly Text[])[], plan: GenerationPlan): boolean {
  if (!searches.some(search => search.open)) return true;
  const allFull = searches.every(search => search.finished.every(text => text.done));
  if (allFull && plan.settings.earlyStopping === true) return true;
  return candidates.every(texts => texts.every(text => text.done));
}

/**
 * Different indices, drawn with the probabilities of the given scores: the largest p_i / e_i, e exponential.
 * @see torch.multinomial without replacement
 */
function drawWithoutReplacement(sums: Float32Array, count: number, generator: Generator): number[] {
  const probabilities = softmax(sums);
  if (probabilities.some(Number.isNaN)) throw notANumber();
  const draws = generator.exponential(probabilities.length);
  return topIndices(
    probabilities.map((p, i) => p / (draws[i] ?? 1)),
    count,
  );
}

function ranked(texts: readonly Text[], count: number): Text[] {
  const scores = Float32Array.from(texts, text => text.score);
  return topIndices(scores, count).flatMap(i => texts.slice(i, i + 1));
}

/** Stands behind texts that ended early; a padding id of 0 gives way to the end id, as in transformers. */
function fillId(plan: GenerationPlan): number {
  return plan.padId || (plan.eosIds[0] ?? -1);
}

function notANumber(): InputError {
  return new InputError({
    op: 'generate',
    problem: 'the scores give no distribution',
    received: 'NaN, or -Infinity everywhere',
    fix: 'Ban fewer tokens, or set removeInvalidValues.',
  });
}

function tooFewIds(count: number, width: number): InputError {
  return new InputError({
    op: 'generate',
    problem: 'the vocabulary is too small for so many beams',
    expected: `at least ${count} continuations`,
    received: width,
    path: 'numBeams',
  });
}
