-- Rejected lines by error code
SELECT code, column, count() AS lines, any(reason) AS reason, any(raw) AS example
FROM rejects
GROUP BY code, column
ORDER BY lines DESC
