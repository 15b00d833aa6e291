/** A row made ready by an engine: every form of it is run and compared, the fastest that is right stays. */
import { type Cost, costs } from '../cost.ts';
import { randoms } from '../random.ts';
import type { Form, PeerProblem, Prepared } from './engine.ts';

/** A form that ran. */
export interface OpenRow {
  /** Which it is. */
  readonly form: string;
  /** From nothing to the end of the first run, ms: what is put on the device and compiled. */
  readonly firstMs: number;
  /** Relative L2 over sampled elements, against f64; NaN where the result is not finite or nothing was expected. */
  readonly error: number;
  /** The error is beyond the bound: there is nothing to sample. */
  readonly wrong: boolean;
  /** Runs of a sample, so that it lasts long enough for the clock. */
  readonly times: number;
  readonly prepared: Prepared;
}

/** A sample lasts at least so long, ms. */
const SAMPLE_MS = 20;
const CHECKED = 128;
/** Relative errors up to which a result is right, as for ours. */
const RIGHT = { f32: 1e-5, f16: 3e-3 };
/** More in f16, times the root of the terms of a sum: some engines sum in f16, and rounding walks at random. */
const HALF_SUMS = 2e-4;

/**
 * Runs each form.
 * @returns the fastest of those that are right, the first where none is; why there is none where all fail
 */
export async function openRow(
  forms: readonly Form[],
  problem: PeerProblem,
): Promise<OpenRow | { readonly missing: string }> {
  const failed: string[] = [];
  let best: (OpenRow & { readonly cost: number }) | undefined;
  for (const form of forms) {
    try {
      const ran = await openForm(form, problem);
      const before = best;
      const better = !before || rank(ran) < rank(before);
      await (better ? before : ran)?.prepared.dispose();
      if (better) best = ran;
    } catch (error) {
      failed.push(`${form.name}: ${error instanceof Error ? error.message.split('\n')[0] : error}`);
    }
  }
  return best ?? { missing: failed.join('; ') };
}

function boundOf({ half, terms }: PeerProblem): number {
  return half ? RIGHT.f16 + HALF_SUMS * Math.sqrt(terms) : RIGHT.f32;
}

/** Time, behind all that are right for one that is not. */
function rank({ wrong, cost }: OpenRow & { readonly cost: number }): number {
  return wrong ? Number.POSITIVE_INFINITY : cost;
}

async function openForm(form: Form, problem: PeerProblem): Promise<OpenRow & { readonly cost: number }> {
  const start = performance.now();
  const prepared = await form.prepare();
  try {
    await prepared.run(1);
    const firstMs = performance.now() - start;
    const error = compare(await prepared.result(), problem);
    const wrong = !(error <= boundOf(problem));
    const warm = wrong ? { ms: firstMs, cpu: Number.POSITIVE_INFINITY } : await warmCost(prepared);
    const times = Math.max(1, Math.ceil(SAMPLE_MS / warm.ms));
    return { form: form.name, firstMs, error, wrong, times, prepared, cost: warm.cpu };
  } catch (error) {
    await prepared.dispose();
    throw error;
  }
}

/** Of the second run and, where they are short, of some more. */
async function warmCost(prepared: Prepared): Promise<Cost> {
  const [second] = await costs(1, () => prepared.run(1));
  const times = Math.ceil(SAMPLE_MS / second.ms);
  if (times === 1) return second;
  const [{ ms, cpu }] = await costs(1, () => prepared.run(times));
  return { ms: ms / times, cpu: cpu / times };
}

/** Makes a row of something that has no other form and no expectation. */
export async function openPrepared(form: string, prepare: () => Promise<Prepared>): Promise<OpenRow> {
  const start = performance.now();
  const prepared = await prepare();
  await prepared.run(1);
  const firstMs = performance.now() - start;
  const wrong = !(await prepared.result()).every(Number.isFinite);
  return { form, firstMs, error: Number.NaN, wrong, times: 1, prepared };
}

/** One run's cost, of as many as a sample takes. */
export async function sampleOf({ prepared, times }: OpenRow): Promise<Cost> {
  const [{ ms, cpu }] = await costs(1, () => prepared.run(times));
  return { ms: ms / times, cpu: cpu / times };
}

/** Relative L2 over elements of which each lies somewhere in a stretch of its own; NaN where any element is not finite. */
function compare(got: Float32Array, { elements, expected }: PeerProblem): number {
  if (got.length < elements || !got.every(Number.isFinite)) return Number.NaN;
  const chance = randoms(CHECKED, CHECKED);
  let [wrong, whole] = [0, 0];
  for (let i = 0; i < CHECKED; i++) {
    const at = Math.floor(((i + (chance[i] + 1) / 2) * elements) / CHECKED);
    const wanted = expected(at);
    wrong += (got[at] - wanted) ** 2;
    whole += wanted ** 2;
  }
  return Math.sqrt(wrong / whole);
}
