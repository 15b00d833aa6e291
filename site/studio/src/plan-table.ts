/** What an edit takes of the device's memory, as a table. */
import type { CallPlan } from 'pentimento';
import { box, make } from '../../shared/elements.ts';

/** Shows a plan. @returns what is said of it */
export function showPlan(plan: CallPlan): string {
  const out = box('plan-out');
  out.replaceChildren(planTable(plan));
  out.hidden = false;
  out.closest('details')?.setAttribute('open', '');
  return `An edit takes at most ${Math.round(plan.peakBytes / 1e6)} MB.`;
}

function planTable({ peakBytes, phases }: CallPlan): HTMLElement {
  const rows = phases.map(phase =>
    row('td', phase.phase, phase.peakBytes, phase.weightBytes, phase.activationBytes, phase.hostBytes),
  );
  const head = make(
    'tr',
    {},
    ...['phase', 'device MB', 'weights', 'activations', 'host'].map(text => heading(text, 'col')),
  );
  return make(
    'table',
    {},
    make('caption', {}, `At most ${text(peakBytes)} MB of the device at one time.`),
    make('thead', {}, head),
    make('tbody', {}, ...rows),
  );
}

function row(tag: 'td', name: string, ...bytes: number[]): HTMLElement {
  return make('tr', {}, heading(name, 'row'), ...bytes.map(one => make(tag, {}, text(one))));
}

function heading(text: string, scope: string): HTMLElement {
  return make('th', { scope }, text);
}

function text(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
}
