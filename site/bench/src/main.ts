/** Wires the benchmark's page to what it does. */
import type { Feature } from '../../../bench/schema.ts';
import { box, button, element, input } from '../../shared/elements.ts';
import { FILE_NAME, KernelRun } from '../../shared/kernel-run.ts';
import { kernelTable } from '../../shared/kernel-table.ts';
import { Progress } from '../../shared/progress.ts';
import { saveText } from '../../shared/save-file.ts';
import { startedWorker } from '../../shared/start-worker.ts';
import { Charts } from './charts.ts';
import { showCeilings, showFacts } from './facts.ts';
import script from './worker.ts?worker&url';

const FEATURES: readonly Feature[] = ['timestamps', 'subgroups', 'f16'];
const DOING = 'Measuring the kernels…';
const progress = new Progress();
const charts = new Charts();
const run = new KernelRun();
let worker: Worker | undefined;
let running: AbortController | undefined;

const boxOf = (feature: Feature): HTMLInputElement => input(`without-${feature}`);

function show(): void {
  showFacts(run.head);
  showCeilings(run.ceilings);
  box('kernels').hidden = run.rows.length === 0;
  box('kernels-out').replaceChildren(kernelTable(run.rows, 'Medians of one run of each kernel'));
  charts.show(run.file);
  for (const id of ['copy', 'save']) button(id).hidden = running !== undefined || run.rows.length === 0;
}

/** Focus goes from the button that begins to the one that ends, and back; nobody else's is taken. */
function enable(free: boolean): void {
  const [begin, end] = [button('measure'), button('cancel')];
  const { activeElement } = document;
  begin.disabled = !free;
  end.hidden = free;
  if (!free && activeElement === begin) end.focus();
  if (free && activeElement === end) begin.focus();
}

/** One that fails is forgotten: the next measurement begins anew. */
function freshWorker(): Worker {
  const fresh = startedWorker(script);
  fresh.addEventListener('error', () => {
    if (worker === fresh) worker = undefined;
    fresh.terminate();
  });
  return fresh;
}

async function measure(): Promise<void> {
  running = new AbortController();
  const { signal } = running;
  progress.begin('Measuring what the adapter can do at most…');
  enable(false);
  const without = FEATURES.filter(feature => boxOf(feature).checked);
  const onChange = (step: number, of: number): void => {
    if (run.ceilings) progress.count(DOING, step, of);
    show();
  };
  try {
    worker ??= freshWorker();
    const rows = input('rows').value.trim();
    const only = rows === '' ? undefined : new RegExp(rows.replace(/[^\w ]/g, '\\$&'));
    await run.measure(worker, { signal, without, only, onChange });
    if (run.rows.length === 0) throw new Error(`No row has "${rows}" in its name.`);
    const wrong = run.rows.filter(row => row.wrong).length;
    const are = `${wrong} of ${run.rows.length} kernels ${wrong === 1 ? 'is' : 'are'} wrong here.`;
    progress.end(wrong > 0 ? `Measured; ${are}` : 'Measured; every kernel is right.');
  } catch (error) {
    if (signal.aborted) progress.end('Cancelled.');
    else progress.fail(error);
  } finally {
    running = undefined;
    enable(true);
    show();
  }
}

const failed = (error: unknown): void => progress.problem(error);
button('measure').addEventListener('click', () => void measure());
button('cancel').addEventListener('click', () => running?.abort());
button('copy').addEventListener('click', () => void run.copy().then(text => progress.say(text), failed));
button('save').addEventListener('click', () => saveText(run.text, FILE_NAME));

// `?rows=conv3x3&without=timestamps,f16` is a measurement for a bookmark.
const { searchParams } = new URL(location.href);
const asked = searchParams.get('without')?.split(',') ?? [];
for (const feature of FEATURES) boxOf(feature).checked = asked.includes(feature);
input('rows').value = searchParams.get('rows') ?? '';
element('choices', HTMLDetailsElement).open = searchParams.size > 0;

if (!navigator.gpu) {
  button('measure').disabled = true;
  progress.fail(
    new Error('This browser has no WebGPU here: it needs https or localhost, and a browser that offers it.'),
  );
}
document.body.setAttribute('data-ready', '');
