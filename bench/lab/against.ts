/** What changed between two runs: a line for each pipeline that is other, new or gone, and the families weighed. */
import type { LabResults } from './results.ts';
import type { LabRow } from './rows.ts';
import { columns } from './table.ts';
import type { Weighed } from './weigh.ts';

const share = (value: number | undefined): number | undefined => value && Math.round(100 * value);
const rounded = (value: number | undefined): number | undefined => value && Math.round(100 * value) / 100;

type Facts = Readonly<Record<string, number | undefined>>;

function factsOf({ loop, bound, ...row }: LabRow): Facts {
  return {
    ...{ wave: row.wave, registers: row.registers, LDS: row.lds, spills: row.spills, scratch: row.scratch },
    ...{ waves: row.waves, instructions: row.instructions, estimate: row.estimate },
    ...{ loop: loop?.instructions, fma: loop?.fma, packed: loop?.packed, matrix: loop?.matrix, dual: loop?.dual },
    ...{ vector: loop?.vector, 'ds bytes': loop && loop.ldsReadBytes + loop.ldsWriteBytes },
    ...{ 'global bytes': loop?.globalLoadBytes, trips: row.pass?.trips, queued: row.pass?.queued },
    ...{ 'cyc/FMA': rounded(row.cyclesPerFma), 'peak %': share(bound?.share), 'pass %': share(row.pass?.bound?.share) },
    ...{ dispatches: row.dispatches, workgroups: row.workgroups },
  };
}

function weighedFacts(f: Weighed): Facts {
  return {
    ...{ pipelines: f.pipelines, dispatches: f.dispatches, spills: f.spills, scratch: f.scratch, waves: f.waves },
    ...{ trips: f.trips, 'cyc/FMA': rounded(f.cyclesPerFma), 'peak %': share(f.share), 'pass %': share(f.passShare) },
    ...{ 'peak % by workgroups': share(f.shareByWorkgroups), estimate: f.estimate },
  };
}

/** `registers 96 -> 84, trips 6 -> 1`; empty where nothing changed. */
function changes(before: Facts, now: Facts): string {
  const short = (value: number | undefined): string =>
    value === undefined ? '-' : value > 1e7 ? value.toExponential(3) : String(value);
  return Object.keys(now)
    .filter(name => (before[name] ?? undefined) !== (now[name] ?? undefined))
    .map(name => `${name} ${short(before[name])} -> ${short(now[name])}`)
    .join(', ');
}

/** By kernel and variant; of several that are called alike, the first against the first. */
function byName(rows: readonly LabRow[]): Map<string, LabRow> {
  const named = new Map<string, LabRow>();
  for (const row of rows) {
    const name = `${row.kernel} ${row.variant}`.trim();
    let key = name;
    for (let i = 2; named.has(key); i++) key = `${name} (${i})`;
    named.set(key, row);
  }
  return named;
}

/** What one cell says of a pipeline that is only in one of the runs. */
function summary(row: LabRow): string {
  return changes({}, factsOf(row)).replaceAll('- -> ', '');
}

/** The difference as text. */
export function compare(before: LabResults, now: LabResults): string {
  const head = (['card', 'driver', 'version', 'dtype', 'size', 'networks', 'wave', 'toggles'] as const)
    .map(name => [name, String(before[name] ?? '-'), String(now[name] ?? '-')])
    .filter(([, a, b]) => a !== b)
    .map(([name, a, b]) => `${name}: ${a} -> ${b}`);
  const [old, fresh] = [byName(before.rows), byName(now.rows)];
  const other = [...fresh].flatMap(([name, row]) => {
    const was = old.get(name);
    const text = was ? changes(factsOf(was), factsOf(row)) : summary(row);
    return text ? [`${was ? ' ' : '+'} ${name}: ${text}`] : [];
  });
  const gone = [...old].filter(([name]) => !fresh.has(name)).map(([name, row]) => `- ${name}: ${summary(row)}`);
  const same = fresh.size - other.length;
  const families = now.families.map(family => {
    const was = before.families.find(one => one.family === family.family);
    return [family.family, was ? changes(weighedFacts(was), weighedFacts(family)) || 'as before' : 'new'];
  });
  return [
    ...[...head, ...other, ...gone],
    `${same} of ${fresh.size} pipelines as before\n`,
    columns(['family', 'variant'], families).split('\n').slice(1).join('\n'),
  ].join('\n');
}
