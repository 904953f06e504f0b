// status_page: a page for people: /status.json, renewed every second. No outside requests.

#pragma once

#include <string_view>

namespace inlet::serve {

inline constexpr std::string_view status_page = R"page(<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Inlet</title>
<style>
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}
body{max-width:44rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
td{padding:.25rem .5rem;border-bottom:1px solid #8884}
td:last-child{text-align:right;font-variant-numeric:tabular-nums}
</style>
<h1>Inlet</h1><p id="state" role="status">…</p><table><tbody id="rows"></tbody></table>
<script>
let before;
function row(name,value){
  const tr=document.createElement("tr");
  for(const text of [name,value]){
    const td=document.createElement("td");td.textContent=text;tr.append(td);
  }
  return tr;
}
function flat(object,prefix){
  return Object.entries(object).flatMap(([k,v])=>
    v!==null&&typeof v==="object"?flat(v,prefix+k+"."):[[prefix+k,v]]);
}
async function renew(){
  try{
    const now=await (await fetch("status.json")).json();
    const rate=before?Math.max(0,now.records_stored-before.records_stored):0;
    before=now;
    document.getElementById("state").textContent=
      now.node+": "+now.admission+(now.draining?", draining":"")+", "+rate+" records/s";
    document.getElementById("rows").replaceChildren(
      ...flat(now,"").map(([k,v])=>row(k,typeof v==="number"?v.toLocaleString("en"):String(v))));
  }catch(e){document.getElementById("state").textContent="no answer from this node"}
}
renew();setInterval(renew,1000);
</script></html>
)page";

}  // namespace inlet::serve
