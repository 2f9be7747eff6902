// All actions in the order of work.
import { html, useEffect } from "/core/html.js";
import { address } from "/core/router.js";
import { actions, here, jobList, loadActions } from "/core/state.js";
import { plural, when } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { Bar, StatePill } from "/parts/progress.js";
import { kindOf } from "/pages/kinds.js";

export function Actions() {
  useEffect(() => { loadActions().catch(() => {}); }, []);
  return html`<div class="page"><div class="page-head"><div class="grow"><h1>Actions</h1><p class="soft">In the order of work. Several may run at once; each goes on when this page is closed.</p></div></div>
    <div class="grid three">${actions.value.map((action, index) => {
      const ran = jobList.value.filter((job) => job.action === action.name);
      const running = ran.find((job) => ["running", "starting", "queued"].includes(job.state));
      return html`<a key=${action.name} class="card action-card" href=${address(here("action", action.name))}><div class="row"><span class="step">${index + 1}</span><h2 class="grow">${action.title}</h2>${running ? html`<${StatePill} job=${running} />` : ran.length ? html`<span class="pill">${plural(ran.length, "job")}</span>` : null}</div>
        <p class="soft">${action.summary}</p>${running ? html`<${Bar} done=${running.done} total=${running.total} />` : null}
        <div class="faint small">${action.inputs.map((one) => kindOf(one.kind).many).join(", ")} <${Icon} name="next" /> ${action.outputs.map((one) => one.replaceAll("_", " ")).join(", ")}${ran.length && !running ? ` · last ${when(ran[0].created)}` : ""}</div></a>`;
    })}</div></div>`;
}
