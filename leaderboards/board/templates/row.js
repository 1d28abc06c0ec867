followCharts(JSON.parse(document.getElementById("data").textContent), () => false, (run) => (run ? 6 : 0));
