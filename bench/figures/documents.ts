/** The documents whose figures are written from bench/results, and the pictures beside them. */
import { readFileSync } from 'node:fs';
import type { LabResults } from '../lab/results.ts';
import { type BenchFile, parseBench } from '../schema.ts';
import { chartsOf } from '../svg/charts.ts';
import { labTable } from './lab.ts';
import { type Figure, withFigures } from './markers.ts';
import { type ModelsFile, modelsTable } from './models.ts';
import { conditions, networksTable, raceTable, standings } from './race.ts';

const DOCUMENTS = ['README.md', 'docs/performance.md'];
/** The run of the race that the pictures show. */
const SHOWN = 'lavapipe';
/** Rows for those who look once: each operation once or twice, in float32. */
const FEW =
  /^(?!.*f16)(matmul (512x512x512|1024x1024x1024|16x)|conv3x3 (1x32|2x8)|attention (1024 tokens|4096 queries x 77 keys) x 5 |group-norm \+ silu 1x(32|64)x|layer-norm 4096|softmax 1024)/;
const ALL = /^/;

/** Every file that the results decide, as it must be, by its path. */
export function writtenDocuments(root: URL): Map<string, string> {
  const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
  const figures = figuresOf(name => read(`bench/results/${name}.json`));
  const documents = DOCUMENTS.map((path): [string, string] => [path, withFigures(read(path), figures)]);
  const shown = parseBench(read(`bench/results/${SHOWN}.json`));
  const few = { ...shown, rows: shown.rows.filter(({ name }) => FEW.test(name)) };
  const charts = { 'race.svg': chartsOf(few)['bars.svg'], 'roofline.svg': chartsOf(shown)['roofline.svg'] };
  const pictures = Object.entries(charts).map(([name, svg]): [string, string] => [`docs/images/${name}`, svg]);
  return new Map([...documents, ...pictures]);
}

/** The figures by the names that stand in documents. @param read a file of results by its name */
export function figuresOf(read: (name: string) => string): Readonly<Record<string, Figure>> {
  const race = (name = ''): BenchFile => parseBench(read(name));
  const models = (name = ''): ModelsFile => JSON.parse(read(name)) as ModelsFile;
  return {
    conditions: name => conditions(race(name)),
    standings: name => standings(race(name)),
    race: name => raceTable(race(name), FEW),
    'whole-race': name => raceTable(race(name), ALL),
    networks: name => networksTable(race(name)),
    models: name => modelsTable(models(name)),
    lab: (...cards) => labTable(cards.map(card => JSON.parse(read(`lab-${card}`)) as LabResults)),
  };
}
