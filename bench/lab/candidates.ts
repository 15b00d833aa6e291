/** What a card's compiler makes of each variant that could run a problem, with each of its tile sizes. */
import { alignUp, ceilDiv } from '../../src/core/shape.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { specialize } from '../../src/gpu/specialize.ts';
import { PANEL } from '../../src/kernels/gemm-problem.ts';
import { type KernelCall, RANK } from '../../src/kernels/kernel.ts';
import { fieldOf, nameOf, type Op, type Tiles, type Variant } from '../../src/kernels/op.ts';
import { checkCall } from '../../src/kernels/words.ts';
import type { PipelineLog } from './absent-card.ts';
import { clocksOf } from './bound.ts';
import type { Card } from './cards.ts';
import { type Counts, multiplyAdds } from './listing/counts.ts';
import type { Heard } from './problems.ts';
import { type LabRow, rowOf } from './rows.ts';
import { stepOf } from './steps.ts';

/** A variant with one choice of its text's constants, on one problem. */
export interface Candidate {
  readonly variant: string;
  /** Constants by which it differs from what the variant takes by itself, and those that cards may have otherwise. */
  readonly tiles: Tiles;
  /**
   * Clocks of a SIMD for a multiply-add of a lane that the problem asks for: of a pass over a tile, with what waits for memory leave
   * idle, and with what tiles make beyond the problem's borders. Undefined where no machine code is shown.
   */
  readonly clocks: number | undefined;
  readonly spills: number;
  /** Bytes of private memory: a lane's, or a wave's on AMD. */
  readonly scratch: number;
  readonly trips: number | undefined;
  readonly queued: number | undefined;
  readonly waves: number | undefined;
  readonly registers: number | undefined;
}

/** A problem with all that could run it. */
export interface Trial {
  readonly op: string;
  /** The fields that tell it from others. */
  readonly problem: Readonly<Record<string, unknown>>;
  /** Multiply-adds of all times that it was met. */
  readonly work: number;
  readonly candidates: readonly Candidate[];
}

/**
 * Constants that cards may have otherwise, with what they may be, those of a card that nobody knows first: forms of a text, which are `false`
 * and `true`, and sizes that no candidate of a tuner has, because bits depend on them.
 */
const FORMS: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>> = {
  'gemm-tile': { WEIGHTS_FIRST: [0, 1] },
  'attention-tile': { PAIRED: [0, 1], KEYS: [64, 32], BLOCKS: [2, 1] },
};

/** More of them on Intel's cards, the only ones whose registers do not hold 64 sums a lane. */
const SPANS: readonly number[] = [8, 4];

/** Clocks of a round trip to global memory: some 400 to 600 on all cards. */
const ROUND_TRIP = 500;

/**
 * Compiles the candidates of all problems.
 *
 * @param tuners also those tile sizes that a tuner would measure
 * @returns a trial for each problem that more than one candidate can run
 */
export async function tryCandidates(
  gpu: Gpu,
  card: Card,
  log: PipelineLog,
  { heard, tuners }: { readonly heard: readonly Heard[]; readonly tuners: boolean },
): Promise<Trial[]> {
  const how = { tuners, spans: card.maker === 'intel' };
  const trials: Trial[] = [];
  for (const one of heard) {
    const candidates: Candidate[] = [];
    let work = 0;
    for (const { variant, calls } of candidatesOf(gpu, one, how)) {
      for (const { call, tiles } of calls) {
        const made = await compiled(gpu, card, log, call);
        candidates.push(candidateOf(card, made, { variant, tiles, call }));
        work ||= (one.times * call.cost.flops) / 2;
      }
    }
    if (candidates.length > 1) trials.push({ op: one.op.name, problem: brief(one.problem), work, candidates });
  }
  return trials;
}

interface Cut {
  readonly call: KernelCall;
  readonly tiles: Tiles;
}

/** Which candidates are compiled beside a variant's own. */
interface Asked {
  readonly tuners: boolean;
  readonly spans: boolean;
}

interface Able {
  readonly variant: Variant<unknown>;
  readonly calls: readonly Cut[];
}

/** Variants that can run a problem and are meant to, each with the layout of weights that it reads. */
function candidatesOf(gpu: Gpu, { op, problem }: Heard, how: Asked): Able[] {
  return op.variants.flatMap(variant => {
    const own = withLayout(op, problem, variant);
    const suited = variant.fits(gpu.caps, own) && (variant.rank?.(gpu.caps, own) ?? 0) < RANK.unsuited;
    return suited ? [{ variant, calls: cutsOf(gpu, variant, own, how) }] : [];
  });
}

/** Problems whose input is normalised on the way are run by one variant alone: as if it came so. */
function withLayout(op: Op<unknown>, problem: unknown, { weights }: Variant<unknown>): unknown {
  const { normalize: _, ...rest } = problem as { normalize?: unknown; b?: object };
  if (!op.packed?.(problem) || !weights) return rest;
  return rest.b ? { ...rest, b: { ...rest.b, layout: weights } } : { ...rest, layout: weights };
}

/** A variant's own tiles in all forms, and its other candidates; without what is shipped for this card already. */
function cutsOf({ caps }: Gpu, variant: Variant<unknown>, problem: unknown, { tuners, spans }: Asked): Cut[] {
  const unknown = { ...caps, vendor: '', architecture: '', device: '' };
  const own = variant.tiles(unknown, problem);
  const parts = (tiles: Tiles): KernelCall =>
    variant.split?.(unknown, problem, tiles)?.partials ?? variant.call(unknown, problem, tiles);
  const others = (tuners && variant.candidates?.(unknown, problem)) || [];
  const forms = formsOf(variant.stem, own, spans && !isGated(problem));
  return [
    ...forms.map(form => ({ call: withForm(parts, own, form), tiles: form })),
    ...others.map(tiles => ({ call: parts(tiles), tiles })),
  ];
}

/** All forms of a text, the first of which is that of a card that nobody knows. */
function formsOf(stem: string, own: Tiles, spans: boolean): Tiles[] {
  let forms: Tiles[] = [{}];
  const more = spans && stem === 'gemm-tile' ? { SPAN: SPANS } : {};
  for (const [name, values] of Object.entries({ ...FORMS[stem], ...more })) {
    // What is less than the largest already, is so for the problem's sake; 256 threads make 64 keys.
    const known = name === 'BLOCKS' ? values.filter(value => value <= (own[name] ?? 0)) : values;
    const fixed = name === 'KEYS' && own['THREADS'] === 256;
    forms = forms.flatMap(form => (fixed ? known.slice(0, 1) : known).map(value => ({ ...form, [name]: value })));
  }
  return forms;
}

/** Values and gates of a thread are eight columns. */
function isGated(problem: unknown): boolean {
  return fieldOf(problem, 'epilogue.geglu') === true;
}

function withForm(call: (tiles: Tiles) => KernelCall, own: Tiles, form: Tiles): KernelCall {
  const sizes: Record<string, number> = {};
  for (const [name, size] of Object.entries(own)) sizes[name] = Math.min(size, form[name] ?? size);
  const flags = Object.entries(form).filter(([name]) => !(name in own));
  // Half as many sums a thread would be twice the threads.
  if (sizes['SPAN'] !== own['SPAN']) Object.assign(sizes, { ROWS: 64, COLUMNS: 64 });
  const made = call(sizes);
  return {
    ...made,
    values: { ...made.values, ...Object.fromEntries(flags.map(([name, value]) => [name, value === 1])) },
  };
}

async function compiled(gpu: Gpu, card: Card, log: PipelineLog, call: KernelCall): Promise<ReturnType<typeof rowOf>> {
  await gpu.pipelines.of(
    call,
    checkCall(call).bindings.map(({ access }) => access),
  );
  const code = specialize(call.kernel, call.source, call.libs, call.values);
  const found = log.pipelines.findLast(pipeline => pipeline.code === code);
  if (!found) throw new Error(`${call.kernel} was not compiled`);
  return rowOf(card, found);
}

interface Made {
  readonly variant: Variant<unknown>;
  readonly tiles: Tiles;
  readonly call: KernelCall;
}

function candidateOf(card: Card, made: ReturnType<typeof rowOf>, { variant, tiles, call }: Made): Candidate {
  const { spills, scratch, registers, pass, waves = card.waves } = made.row;
  const step = made.listing && stepOf(call, made.listing, made.row.wave);
  const clocks = clocksOfPass(card, made.row, step);
  return {
    variant: nameOf(variant),
    tiles,
    clocks: clocks && clocks * beyond(call),
    ...{ spills, scratch, trips: pass?.trips, queued: pass?.queued, waves, registers },
  };
}

/**
 * Clocks for a multiply-add of a lane. Of the waves that a SIMD holds one computes while the others wait: nothing idles where their passes
 * last longer than a pass with its waits.
 */
function clocksOfPass(card: Card, { waves, wave }: LabRow, pass: Counts | undefined): number | undefined {
  const lanes = card.maker === 'amd' ? wave / 32 : 1; // elsewhere all pipelines of a card have one size
  const busy = pass && clocksOf(card, pass, wave);
  const work = pass && multiplyAdds(pass, wave);
  if (!work || busy === undefined) return undefined;
  const resident = Math.max(1, (waves ?? card.waves ?? 1) / card.simds);
  return Math.max(busy, (busy + pass.trips * ROUND_TRIP) / resident) / work / lanes;
}

/** How much more is computed than a problem asks for: tiles beyond its borders, and scores that slices of a head make again. */
function beyond(call: KernelCall): number {
  const { kernel, params, values, tiles } = call;
  const of = (name: string): number => Number(values[name] ?? 1);
  const word = (name: string): number => params[name] ?? 1;
  if (/^attention/.test(kernel)) {
    const columns = kernel === 'attention-matrix' ? of('WIDE') * of('SIDE_N') : (of('THREADS') / 2) * of('BLOCKS');
    const rows = kernel === 'attention-matrix' ? of('SUBGROUPS') * of('SIDE_M') : 64;
    const head = 4 * word('head4');
    const filled =
      (ceilDiv(word('queries'), rows) * rows * alignUp(word('keys'), of('KEYS'))) / word('queries') / word('keys');
    return (filled * word('slices') * (head + columns)) / (2 * head);
  }
  const gates = values['GEGLU'] === true ? 2 : 1;
  const [high, wide] =
    kernel === 'conv-tile' ? [128, 64] : [of('ROWS'), kernel === 'gemv-tile' ? PANEL : of('COLUMNS') / gates];
  const asked = 4 * word('rows') * word('columns4');
  const products =
    kernel === 'conv-tile'
      ? 1
      : tiles / (word('row_tiles') * (params['column_tiles'] ?? ceilDiv(4 * word('columns4'), wide)));
  return (tiles * high * wide) / asked / products;
}

/** What tells a problem from others: its sizes, storage forms and what follows a sum, by dotted names. */
function brief(problem: unknown, path = ''): Record<string, number | string | boolean> {
  const leaves = Object.entries(problem as object).flatMap(([name, value]: [string, unknown]) => {
    if (value === undefined || /pitch|offset|padding|layout|^scale$/i.test(name)) return [];
    if (typeof value === 'object' && value !== null) return Object.entries(brief(value, `${path}${name}.`));
    return [[`${path}${name}`, value] as const];
  });
  return Object.fromEntries(leaves) as Record<string, number | string | boolean>;
}
