/** One row of the table for each pipeline: what its text was specialised to, and what the driver made of it. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CompiledPipeline } from './absent-card.ts';
import { type Bound, boundOf, LEAST } from './bound.ts';
import type { Card } from './cards.ts';
import { type Counts, type Listing, multiplyAdds } from './listing/counts.ts';
import { readListing } from './listing/read.ts';

/** Kernels by what they compute; those of a family are weighed together. */
export const FAMILIES = ['GEMM', 'conv', 'attention', 'GEMV', 'other'] as const;

/** A family of kernels. */
export type Family = (typeof FAMILIES)[number];

/** The main loop of a pipeline. */
export interface MainLoop extends Counts {
  /** Loops inside it, which are not counted. */
  readonly inner: number;
}

/** A pass of the loop that brings a tile from global memory and works on it, with the loops inside it. */
export interface TilePass {
  readonly instructions: number;
  /** Of a lane. */
  readonly multiplyAdds: number;
  /** Round trips to global memory that wait for one another. */
  readonly trips: number;
  /** With those that only wait for a scoreboard. */
  readonly queued: number;
  /** Where the compiler tells cycles; 0 elsewhere. */
  readonly cycles: number;
  readonly bound: Bound | undefined;
}

/** One pipeline. Facts that a driver does not tell are undefined. */
export interface LabRow {
  readonly kernel: string;
  /** Storage types and constants by which its text differs from the kernel's file. */
  readonly variant: string;
  readonly family: Family;
  /** Lanes. */
  readonly wave: number;
  readonly registers: number | undefined;
  readonly scalarRegisters: number | undefined;
  /** Registers that are kept in memory instead. */
  readonly spills: number;
  /** Bytes of a lane (NVIDIA, Apple) or wave (AMD) in memory of its own: spills, and arrays with computed indices. */
  readonly scratch: number;
  /** Bytes of a workgroup. */
  readonly lds: number | undefined;
  /** Waves that a SIMD (AMD, NVIDIA, Adreno: core) can hold; threads of a core on Apple's. */
  readonly waves: number | undefined;
  readonly instructions: number | undefined;
  /** What the driver itself estimates: ACO's inverse throughput, NAK's static cycles, AGX's cycles of arithmetic. */
  readonly estimate: number | undefined;
  readonly loop: MainLoop | undefined;
  readonly bound: Bound | undefined;
  readonly pass: TilePass | undefined;
  /** Static cycles of such a pass for a multiply-add of a lane, where the compiler tells cycles. */
  readonly cyclesPerFma: number | undefined;
  readonly dispatches: number;
  readonly workgroups: number;
}

/** The file of a kernel, for what a text was specialised from. */
function wgslOf(kernel: string): string {
  const path = fileURLToPath(new URL(`../../wgsl/${kernel}.wgsl`, import.meta.url));
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function declarations(text: string): ReadonlyMap<string, string> {
  const found = text.matchAll(/^(?:alias|const) (\w+)[^=]*= *([^;]*);/gm);
  return new Map([...found].map(([, name, value]) => [name, value.trim()]));
}

const STORAGE: Readonly<Record<string, string>> = { vec4f: 'f32', vec4h: 'f16', vec2u: 'f16x2' };

/** `I:f16 W:f16 O:f32 CONV=true`: storage of input, weight and output, and constants that are not those of the file. */
export function variantOf(code: string, file: string): string {
  const [before, now] = [declarations(file), declarations(code)];
  const forms = ['Input', 'Weight', 'Output'].flatMap(name => {
    const type = now.get(`${name}4`);
    return type ? [`${name[0]}:${STORAGE[type] ?? type.replace(/vec4<(\w+)>/, '$1')}`] : [];
  });
  const changed = [...now].filter(([name, value]) => before.has(name) && before.get(name) !== value);
  const constants = changed.filter(([name]) => !/^(Input|Weight|Output)4$/.test(name));
  return [...forms, ...constants.map(([name, value]) => `${name}=${value}`)].join(' ');
}

/** The family of a kernel. */
export function familyOf(kernel: string, variant: string): Family {
  if (/^gemv/.test(kernel)) return 'GEMV';
  if (/^conv/.test(kernel) || (/^gemm/.test(kernel) && /\bCONV=true\b/.test(variant))) return 'conv';
  if (/^gemm/.test(kernel)) return 'GEMM';
  return /^attention/.test(kernel) ? 'attention' : 'other';
}

/** The first that a driver tells, by the names that drivers give it. */
function first(statistics: CompiledPipeline['statistics'], ...names: readonly string[]): number | undefined {
  const name = names.find(one => one in statistics);
  return name === undefined ? undefined : Number(statistics[name]);
}

function total(statistics: CompiledPipeline['statistics'], ...names: readonly string[]): number {
  return names.reduce((sum, name) => sum + Number(statistics[name] ?? 0), 0);
}

function passOf(card: Card, counts: Counts, wave: number): TilePass {
  const { instructions, trips, queued, cycles } = counts;
  const bound = boundOf(card, counts, wave);
  return { instructions, multiplyAdds: multiplyAdds(counts, wave), trips, queued, cycles, bound };
}

/** @returns the row, and the listing that it was read from */
export function rowOf(card: Card, pipeline: CompiledPipeline): { row: LabRow; listing: Listing | undefined } {
  const { label: kernel, code, subgroupSize, statistics: s, dispatches, workgroups } = pipeline;
  const variant = variantOf(code, wgslOf(kernel));
  const wave = subgroupSize || (card.maker === 'amd' ? 64 : 32);
  const listing = pipeline.listing === undefined ? undefined : readListing(card.maker, pipeline.listing);
  const main = listing?.main;
  const loop = main && { ...main.own, inner: main.inner.length };
  const pass = listing?.pass && passOf(card, listing.pass, wave);
  const spilled = ['Spilled VGPRs', 'Spilled SGPRs', 'Spills to memory', 'Spills to reg', 'Spills', 'STP Count'];
  const row: LabRow = {
    ...{ kernel, variant, family: familyOf(kernel, variant), wave },
    registers: first(s, 'VGPRs', 'Number of GPRs', 'GPRs', 'Registers used'),
    scalarRegisters: first(s, 'SGPRs'),
    spills: total(s, ...spilled),
    scratch: first(s, 'Scratch size', 'SLM size', 'Scratch') ?? 0,
    lds: first(s, 'LDS size', 'Shared memory size'),
    waves: first(s, 'Subgroups per SIMD', 'Max warps/SM', 'Max Waves Per Core', 'Threads'),
    instructions: first(s, 'Instructions', 'Instruction count', 'Instruction Count'),
    estimate: first(s, 'Inverse Throughput', 'Static cycle count', 'ALU'),
    loop,
    bound: loop && boundOf(card, loop, wave),
    pass,
    cyclesPerFma: pass?.cycles && pass.multiplyAdds >= LEAST ? pass.cycles / pass.multiplyAdds : undefined,
    ...{ dispatches, workgroups },
  };
  return { row, listing };
}
