// The page sends nothing to other hosts: it has no validator badge. It forgets an API key when it is closed.

// Swagger UI sends no request while a required body is empty, and does not say so. This adds the reason below the button.
const style = { color: "#b3261e", fontWeight: "bold", margin: "1em 0 0", textAlign: "left" };
const ExplainMissingBody = ({ React }) => ({
  wrapComponents: {
    execute: (Execute) => (props) => {
      const { path, method, oas3Selectors } = props;
      const hasErrors = (errors) => Boolean(errors && (errors.size ?? errors.length) > 0);
      const value = oas3Selectors.requestBodyValue(path, method);
      const fields = value && value.valueSeq ? value.valueSeq().toArray() : [];
      const isMissing = hasErrors(oas3Selectors.requestBodyErrors(path, method))
        || fields.some((field) => field && field.get && hasErrors(field.get("errors")));
      const reason = "No request was sent: the file is missing. Choose a file under \"Request body\", then execute again.";
      return React.createElement(React.Fragment, null,
        React.createElement(Execute, props),
        isMissing && React.createElement("p", { className: "missing-body", role: "alert", style }, reason));
    },
  },
});

window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
  plugins: [ExplainMissingBody],
});
